# What both kinds of guests begin with, from the initramfs: a place to complain, and the
# distribution's own modules; then `wait_for_disk`.
b=/bin/busybox
gone() {
	echo "distromatrix: $*"
	$b poweroff -f
}
$b mount -t devtmpfs dev /dev || gone "the kernel has no devtmpfs"
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
for module in /modules/*.ko; do
	$b insmod "$module" || echo "distromatrix: cannot load ${module##*/}"
done
wait_for_disk() {
	tries=0
	until [ -b /dev/vda ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || gone "there is no disk"
		$b sleep 0.1
	done
}

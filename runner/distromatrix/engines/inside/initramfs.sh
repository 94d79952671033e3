#!/bin/busybox sh
# A direct guest begins here: the distribution's own modules, its disk, and on to guest.sh there.
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
tries=0
until [ -b /dev/vda ]; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || gone "there is no disk"
	$b sleep 0.1
done
$b mount -t ext4 -o noatime /dev/vda /root || gone "cannot mount the disk"
[ -x /root/bin/sh ] || [ -L /root/bin/sh ] || gone "there is no /bin/sh"
guest=/root/distromatrix/guest
$b mkdir -p $guest
$b mount -t tmpfs -o mode=755 guest $guest || gone "the kernel has no tmpfs"
$b cp /bin/busybox /guest.sh /loop.sh /awaken /session /become-0-0 $guest
$b mkdir $guest/bin
$b cp /distromatrix-reboot $guest/bin
for folder in dev proc sys; do
	$b mkdir -p /root/$folder
	$b mount --move /$folder /root/$folder
done
exec $b switch_root /root /distromatrix/guest/busybox sh /distromatrix/guest/guest.sh

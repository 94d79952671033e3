#!/bin/busybox sh
# A whole guest begins here: the distribution's own modules, its disk, an address on QEMU's own
# network where the command line says which, and on to the init system there.
. /begin.sh
read -r words </proc/cmdline
for word in $words; do
	case $word in
	distromatrix.network=*)
		word=${word#*=}
		$b ip link set eth0 up
		$b ip address add "${word%,*}" dev eth0
		$b ip route add default via "${word#*,}"
		;;
	esac
done
wait_for_disk
# noinit_itable: else the kernel writes hundreds of MiB of zeros in its first minute.
$b mount -t ext4 -o noatime,noinit_itable /dev/vda /root || gone "cannot mount the disk"
init=
for one in /sbin/init /lib/systemd/systemd /usr/lib/systemd/systemd; do
	if [ -x "/root$one" ] || [ -L "/root$one" ]; then
		init=$one
		break
	fi
done
[ "$init" ] || gone "there is no init system"
for folder in dev proc sys; do
	$b mkdir -p /root/$folder
	$b mount --move /$folder /root/$folder
done
exec $b switch_root /root $init

#!/bin/busybox sh
# A direct guest begins here: the distribution's own modules, its disk, and on to guest.sh there.
. /begin.sh
wait_for_disk
$b mount -t ext4 -o noatime /dev/vda /root || gone "cannot mount the disk"
[ -x /root/bin/sh ] || [ -L /root/bin/sh ] || gone "there is no /bin/sh"
guest=/root/distromatrix/guest
$b mkdir -p $guest
$b mount -t tmpfs -o mode=755 guest $guest || gone "the kernel has no tmpfs"
$b cp /bin/busybox /guest.sh /loop.sh /awaken /session /piped /become-0-0 $guest
$b mkdir $guest/bin
$b cp /distromatrix-reboot $guest/bin
for folder in dev proc sys; do
	$b mkdir -p /root/$folder
	$b mount --move /$folder /root/$folder
done
exec $b switch_root /root /distromatrix/guest/busybox sh /distromatrix/guest/guest.sh

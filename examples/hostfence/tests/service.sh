# The unit fences the host at every boot: install it, restart, look. This script is begun anew
# after the restart, with DISTROMATRIX_REBOOT_COUNT one higher.
set -e
if [ "${DISTROMATRIX_REBOOT_COUNT:-0}" = 0 ]; then
	mkdir -p /opt/hostfence
	cp -R hostfence /opt/hostfence/
	echo 192.0.2.0/24 >/etc/hostfence.list
	cp systemd/hostfence.service /etc/systemd/system/
	systemctl daemon-reload
	systemctl enable --now hostfence.service
	[ "$(cat /var/lib/hostfence/boots)" = 1 ]
	distromatrix-reboot
fi
systemctl is-active hostfence.service
[ "$(cat /var/lib/hostfence/boots)" = 2 ]
nft list table inet hostfence | grep 192.0.2.0/24
[ "$(cat /proc/sys/net/ipv4/tcp_syncookies)" = 1 ]

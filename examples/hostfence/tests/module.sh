# The kernel is the distribution's own, and loads its modules.
set -e
echo "kernel $(uname -r), engine $DISTROMATRIX_ENGINE"
[ -d "/lib/modules/$(uname -r)" ]
modprobe dummy
grep '^dummy ' /proc/modules
[ -e /sys/module/dummy ]
modprobe -r dummy
! grep '^dummy ' /proc/modules

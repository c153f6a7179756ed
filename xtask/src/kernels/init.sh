#!/bin/busybox sh
# The first process of the emulated machine: `initramfs.rs` puts it there.
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
for module in 0 1 2 3 4 5 6 7; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
ip link set lo up
export TESTBED_PROGRAMS=/bin TESTBED_PATIENCE=6
# What evenkeel is not built for has evenkeel-toa alone.
case $(uname -r) in
5.1[0-4].*) tests=whole::the_receiver_alone ;;
*) tests=whole::on_this_kernel ;;
esac
cd /tmp && network $tests --quiet --nocapture
poweroff -f

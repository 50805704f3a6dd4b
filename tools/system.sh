#!/usr/bin/env bash
# Install what live measuring needs, only what is missing. Debian or Ubuntu, as root.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install a Docker engine, iptables, QEMU, busybox, iperf3, runsc, crun" \
        "and docker-registry with your own package manager, then run 'caveatlib doctor'." >&2
    exit 2
fi
if [ "$(id -u)" != 0 ]; then
    echo "You are $(id -un), not root: run 'sudo make system'." >&2
    exit 2
fi

# program=package; an engine that is there already, docker-ce say, counts.
wanted=(
    dockerd=docker.io docker=docker-cli iptables=iptables ip=iproute2 unshare=util-linux
    busybox=busybox-static iperf3=iperf3 runc=runc crun=crun runsc=runsc
    docker-registry=docker-registry qemu-system-x86_64=qemu-system-x86 debootstrap=debootstrap
    mkfs.ext4=e2fsprogs zstd=zstd umoci=umoci skopeo=skopeo bsdtar=libarchive-tools
    chromium=chromium chromedriver=chromium-driver
)
missing=()
for pair in "${wanted[@]}"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
done
if [ "${#missing[@]}" = 0 ]; then
    echo "All programs that live measuring needs are here."
    exit 0
fi
echo "Installing: ${missing[*]}"
case " ${missing[*]} " in
    *" docker.io "*) echo "On a machine with systemd this also starts the Docker service." ;;
esac
case " ${missing[*]} " in
    *" docker-registry "*) echo "On a machine with systemd this also starts a registry on port 5000." ;;
esac
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "Installed."

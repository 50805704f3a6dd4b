#!/usr/bin/env bash
# Install what live measuring needs, only what is missing. Debian or Ubuntu, as root.
set -euo pipefail

# program=package; an engine that is there already, e.g. docker-ce, counts.
wanted=(
    dockerd=docker.io docker=docker-cli iptables=iptables ip=iproute2 unshare=util-linux
    busybox=busybox-static iperf3=iperf3 runc=runc crun=crun runsc=runsc
    docker-registry=docker-registry qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils
    debootstrap=debootstrap
    mkfs.ext4=e2fsprogs zstd=zstd umoci=umoci skopeo=skopeo bsdtar=libarchive-tools
    cosign=cosign gpg=gnupg chromium=chromium gcc=gcc strace=strace hyperfine=hyperfine
    haveged=haveged mkfs.xfs=xfsprogs mkfs.btrfs=btrfs-progs fuse-overlayfs=fuse-overlayfs
    haproxy=haproxy etcd=etcd-server runsv=runit
    apparmor_parser=apparmor
)
if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install what these packages of Debian hold with your own package manager," \
        "then run 'caveatlib doctor': ${wanted[*]##*=} docker-buildx libc6-dev" >&2
    exit 2
fi
if [ "$(id -u)" != 0 ]; then
    echo "You are $(id -un), not root: run 'sudo make system'." >&2
    exit 2
fi

# Archives of another project that the image reader is tested with: that package alone,
# unpacked, without the hundreds that it depends on.
foreign=golang-github-google-go-containerregistry-dev
foreign_to=/var/cache/caveatlib/$foreign
missing=()
for pair in "${wanted[@]}"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
done
# BuildKit's front end is a plugin of docker, not a program.
docker buildx version >/dev/null 2>&1 || missing+=(docker-buildx)
# What a static program is linked with; gcc only recommends it.
[ -f "$(gcc -print-file-name=libc.a 2>/dev/null)" ] || missing+=(libc6-dev)
if [ "${#missing[@]}" = 0 ] && [ -d "$foreign_to" ]; then
    echo "All programs that live measuring needs are here."
    exit 0
fi
echo "Installing: ${missing[*]:-$foreign}"
case " ${missing[*]} " in
    *" docker.io "*) echo "On a machine with systemd this also starts Docker; root measures in a private engine:" \
        "systemctl disable --now docker.service docker.socket" ;;
esac
case " ${missing[*]} " in
    *" docker-registry "*) echo "On a machine with systemd this also starts a registry on port 5000; experiments start their own:" \
        "systemctl disable --now docker-registry" ;;
esac
case " ${missing[*]} " in
    *" haveged "*) echo "On a machine with systemd this also starts haveged; 'entropy' measures without it, too:" \
        "systemctl disable --now haveged" ;;
esac
case " ${missing[*]} " in
    *" haproxy "* | *" etcd-server "*) echo "On a machine with systemd this also starts HAProxy or etcd; 'scaling' starts its own:" \
        "systemctl disable --now haproxy etcd" ;;
esac
apt-get update -qq
known=()
for package in "${missing[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then known+=("$package"); else
        echo "Not in this machine's archive, so left out: $package"; fi  # cosign, before Debian 13
done
if [ "${#known[@]}" != 0 ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${known[@]}" >/dev/null
fi
if [ ! -d "$foreign_to" ] && apt-cache show "$foreign" >/dev/null 2>&1; then
    download=$(mktemp -d)
    chmod 755 "$download"
    (cd "$download" && apt-get -qq -o APT::Sandbox::User=root download "$foreign")
    mkdir -p "$foreign_to"
    dpkg-deb -x "$download"/*.deb "$foreign_to"
    rm -r "$download"
fi
echo "Installed."

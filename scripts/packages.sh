# Sourced by demo and test: installs Debian packages that are missing.

# Prints those of the named packages that are not installed.
missing_packages() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=absent
        [ "$state" = installed ] || echo "$package"
    done
}

install_packages() {
    packages=$(missing_packages "$@")
    [ -n "$packages" ] || return 0
    echo "installing:" $packages
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $packages
}

build_packages="autoconf automake libtool pkg-config make gcc libc6-dev libhdf5-dev
    libprotobuf-c-dev protobuf-c-compiler zlib1g-dev libopenblas-openmp-dev libjansson-dev
    libssl-dev libjpeg-dev libpng-dev libzip-dev libsnappy-dev libcairo2-dev libcmocka-dev mandoc"

# Configures and builds in the folder build.
build() {
    [ -x configure ] || autoreconf -fi
    mkdir -p build
    [ -f build/Makefile ] || (cd build && ../configure --quiet "$@")
    make -C build -j2
}

# Helpers of scripts/run and scripts/test: sourced by them, in bash, at the top of the repository.
# They install what is missing on Debian and its relatives, and do nothing when nothing is.

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        fail "root is needed for: $*  Run that as root, or install sudo, and start this again."
    fi
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# What we put in place so that packages do not start their services; others' is left alone.
POLICY=/usr/sbin/policy-rc.d
policy_is_ours=

policy_off() {
    [ -z "$policy_is_ours" ] || as_root rm -f "$POLICY"
    policy_is_ours=
}

# apt_install PACKAGE...
apt_install() {
    local missing=() package
    command -v dpkg-query >/dev/null || fail "This needs Debian or a relative of it. Elsewhere install by hand: $*"
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if [ ! -e "$POLICY" ]; then
        policy_is_ours=1
        trap policy_off EXIT
        as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$POLICY && chmod 755 $POLICY"
    fi
    as_root apt-get -q -o DPkg::Lock::Timeout=300 update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends "${missing[@]}"
    policy_off
}

# at_least HAVE WANT: compares versions.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# rustup_init VERSION: rustup from where Rust publishes it, checked, into the user's home.
rustup_init() {
    local from folder status=0
    from=https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init
    folder=$(mktemp -d) || return 1
    curl --proto '=https' --tlsv1.2 -sSf --retry 3 -o "$folder/rustup-init" "$from" &&
        curl --proto '=https' --tlsv1.2 -sSf --retry 3 -o "$folder/rustup-init.sha256" "$from.sha256" &&
        [ "$(cut -d' ' -f1 "$folder/rustup-init.sha256")" = "$(sha256sum "$folder/rustup-init" | cut -d' ' -f1)" ] &&
        chmod 755 "$folder/rustup-init" &&
        "$folder/rustup-init" -q -y --no-modify-path --profile minimal --default-toolchain "$1" -c rustfmt -c clippy ||
        status=1
    rm -rf "$folder"
    return $status
}

# Rust of the version Cargo.toml asks for, or newer.
ensure_rust() {
    local want have
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    case ":$PATH:" in *":$HOME/.cargo/bin:"*) ;; *) export PATH="$HOME/.cargo/bin:$PATH" ;; esac
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || have=
    if [ -n "$have" ] && at_least "$have" "$want" && command -v cargo >/dev/null; then return 0; fi
    say "installing Rust $want (found: ${have:-none})"
    if command -v rustup >/dev/null; then
        rustup toolchain install "$want" --profile minimal -c rustfmt -c clippy
    else
        rustup_init "$want"
    fi || fail "Rust $want could not be installed; install it from https://rustup.rs and start this again."
    export RUSTUP_TOOLCHAIN=$want
    hash -r
}

# What every build needs.
ensure_build_tools() {
    apt_install build-essential pkg-config cmake libopus-dev libspeex-dev libspeexdsp-dev ca-certificates curl
    ensure_rust
}

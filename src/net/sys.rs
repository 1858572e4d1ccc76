//! System calls that no crate offers safely. The only unsafe code outside the codecs.
#![allow(unsafe_code, reason = "thin wrappers of system calls, each with its argument")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes that the kernel keeps for us unsent before it reports a socket writable again.
const UNSENT_LOW_WATER: libc::c_int = 4096;

/// Tells the kernel to hold little unsent data for this TCP socket, so that audio for a slow reader waits
/// in our queue, where late frames can be dropped, and not in the kernel's, where they cannot.
///
/// # Errors
/// What the system says; the connection works all the same.
pub fn keep_send_queue_short(socket: BorrowedFd<'_>) -> io::Result<()> {
    let value = UNSENT_LOW_WATER;
    // SAFETY: the descriptor is open for the borrow; the option takes an int, whose address and size we give.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Bytes written to this TCP socket that have not been sent yet, because the peer's window or the network
/// holds them back. 0 in the steady state of a call.
///
/// # Errors
/// What the system says.
pub fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    /// Linux: `SIOCOUTQNSD`, missing in libc.
    const SIOCOUTQNSD: libc::c_ulong = 0x894B;
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, and we give the address of one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD as _, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Raises the limit of open files to the most the system allows; returns it.
///
/// # Errors
/// What the system says.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls take the address of an rlimit that lives through them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(limit.rlim_cur)
}

/// 32 bytes of the system's randomness, to seed a [`base::Rng`].
///
/// # Errors
/// What the system says.
pub fn entropy() -> io::Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    // SAFETY: the call writes at most the length we give into the array.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(got) {
        Ok(n) if n == bytes.len() => Ok(bytes),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn a_reader_that_stops_shows_as_unsent_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        keep_send_queue_short(client.as_fd()).unwrap();
        assert_eq!(unsent(client.as_fd()).unwrap(), 0);
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 4096]).is_ok() {}
        assert!(unsent(client.as_fd()).unwrap() > 0);
        drop(server);
    }

    #[test]
    fn randomness_differs() {
        assert_ne!(entropy().unwrap(), entropy().unwrap());
    }
}

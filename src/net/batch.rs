//! Many datagrams by one system call, in and out.
#![allow(unsafe_code, reason = "thin wrappers of system calls, each with its argument")]

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

/// Datagrams of one call.
const MOST: usize = 32;
/// Bytes of the longest datagram taken whole.
const LONGEST: usize = 2_048;

/// Room for what one call receives.
pub struct Inbox {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    /// Source and length of each datagram.
    found: Vec<(Option<SocketAddr>, usize)>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({})", self.found.len())
    }
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox {
            bytes: vec![0; MOST * LONGEST],
            // SAFETY: an address of family 0 is what all zeros mean.
            names: vec![unsafe { zeroed() }; MOST],
            found: Vec::with_capacity(MOST),
        }
    }
}

impl Inbox {
    /// Takes what waits at a socket, without blocking. True when there may be more.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` when nothing waits.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        self.found.clear();
        let mut parts: [MaybeUninit<libc::iovec>; MOST] = [const { MaybeUninit::uninit() }; MOST];
        // SAFETY: a header of nothing is what all zeros mean.
        let mut headers: [libc::mmsghdr; MOST] = unsafe { zeroed() };
        let rooms = self.bytes.chunks_exact_mut(LONGEST).zip(&mut self.names);
        for ((header, part), (room, name)) in headers.iter_mut().zip(&mut parts).zip(rooms) {
            let part = part.write(libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            });
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: every header points at a part and a name that live through the call and are as long as they say.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MOST as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, name) in headers.iter().zip(&self.names).take(count) {
            let len = usize::try_from(header.msg_len).unwrap_or(0).min(LONGEST);
            self.found.push((address(name), len));
        }
        Ok(count == MOST)
    }

    /// What the last call received: sources and datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let rooms = self.bytes.chunks_exact(LONGEST);
        self.found
            .iter()
            .zip(rooms)
            .filter_map(|((from, len), room)| Some(((*from)?, room.get(..*len)?)))
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is larger and as aligned, and the system filled it for this family.
            let v4 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Datagrams for one socket that leave together.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(SockAddr, Range<usize>)>,
}

impl Outbox {
    /// Adds a datagram. True when it is time to send.
    pub fn push(&mut self, to: SocketAddr, datagram: &[u8]) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((to.into(), start..self.bytes.len()));
        self.datagrams.len() >= MOST
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Sends all, without blocking. What the system has no room for, or refuses, is lost.
    pub fn send(&mut self, socket: BorrowedFd<'_>) {
        let mut waiting = self.datagrams.as_slice();
        while !waiting.is_empty() {
            match send(socket, &self.bytes, waiting) {
                Ok(0) => break,
                Ok(sent) => waiting = waiting.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The first of them cannot be sent; the others may.
                Err(_) => waiting = waiting.get(1..).unwrap_or_default(),
            }
        }
        self.bytes.clear();
        self.datagrams.clear();
    }
}

/// Sends the first datagrams of a list by one call; how many.
fn send(socket: BorrowedFd<'_>, bytes: &[u8], datagrams: &[(SockAddr, Range<usize>)]) -> io::Result<usize> {
    let mut parts: [MaybeUninit<libc::iovec>; MOST] = [const { MaybeUninit::uninit() }; MOST];
    // SAFETY: a header of nothing is what all zeros mean.
    let mut headers: [libc::mmsghdr; MOST] = unsafe { zeroed() };
    for ((header, part), (to, range)) in headers.iter_mut().zip(&mut parts).zip(datagrams) {
        let datagram = bytes.get(range.clone()).unwrap_or_default();
        let part = part.write(libc::iovec {
            iov_base: datagram.as_ptr().cast_mut().cast(),
            iov_len: datagram.len(),
        });
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
    }
    let count = datagrams.len().min(MOST);
    // SAFETY: as many headers as given point at a part and an address that live through the call; the call only
    // reads what they point at.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn pair(ip: &str) -> Option<(UdpSocket, UdpSocket)> {
        let open = || UdpSocket::bind(format!("{ip}:0")).ok();
        Some((open()?, open()?))
    }

    #[test]
    fn what_is_sent_together_arrives_whole_and_in_order() {
        for ip in ["127.0.0.1", "[::1]"] {
            let Some((a, b)) = pair(ip) else { continue };
            let (from, to) = (a.local_addr().unwrap(), b.local_addr().unwrap());
            let mut inbox = Inbox::default();
            let empty = inbox.receive(b.as_fd()).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
            let mut outbox = Outbox::default();
            for n in 0..40u8 {
                let full = outbox.push(to, &vec![n; usize::from(n) * 30]);
                assert_eq!(full, usize::from(n) + 1 >= MOST);
            }
            outbox.send(a.as_fd());
            assert!(outbox.is_empty());
            let mut got = Vec::new();
            while let Ok(more) = inbox.receive(b.as_fd()) {
                got.extend(inbox.datagrams().map(|(from, d)| (from, d.to_vec())));
                if !more {
                    break;
                }
            }
            let wanted: Vec<_> = (0..40u8).map(|n| (from, vec![n; usize::from(n) * 30])).collect();
            assert!(got == wanted, "{ip}: {}", got.len());
        }
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_holds_up_no_other() {
        let (a, b) = pair("127.0.0.1").unwrap();
        let mut outbox = Outbox::default();
        outbox.push("[2001:db8::1]:9".parse().unwrap(), b"wrong family");
        outbox.push(b.local_addr().unwrap(), b"right");
        outbox.send(a.as_fd());
        let mut inbox = Inbox::default();
        inbox.receive(b.as_fd()).unwrap();
        let got: Vec<&[u8]> = inbox.datagrams().map(|(_, d)| d).collect();
        assert_eq!(got, [b"right"]);
    }
}

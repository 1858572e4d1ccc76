//! What the bare system calls cost: the datagrams and messages of a call, with nothing around them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use crate::measure::thread_cpu;

/// Frames to measure over.
const FRAMES: usize = 5_000;
/// Warm caches flatter: the gateway finds the kernel's cold, so what is measured here is the least there can be.
const PAYLOAD: usize = 172;

/// Microseconds of processor time for 20 ms of a call: a message read and one written on the client's TCP connection, a
/// datagram received and one sent on the phone's side.
pub fn call() -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut gateway, _) = listener.accept().unwrap();
    gateway.set_nodelay(true).unwrap();
    client.set_nodelay(true).unwrap();
    let udp = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (ours, phone) = (udp(), udp());
    let (to_us, to_phone) = (ours.local_addr().unwrap(), phone.local_addr().unwrap());
    let (frame, mut out) = ([0u8; PAYLOAD], [0u8; 2_048]);
    let mut spent = 0.0;
    for _ in 0..FRAMES {
        client.write_all(&frame).unwrap();
        phone.send_to(&frame, to_us).unwrap();
        let start = thread_cpu();
        let _some = gateway.read(&mut out).unwrap();
        ours.send_to(&frame, to_phone).unwrap();
        ours.recv_from(&mut out).unwrap();
        gateway.write_all(&frame).unwrap();
        spent += thread_cpu() - start;
        phone.recv_from(&mut out).unwrap();
        let _some = client.read(&mut out).unwrap();
    }
    spent * 1e6 / FRAMES as f64
}

//! A SIP phone for benches: answers every INVITE at once with one codec, sends every RTP packet back as it came.
//!
//! It runs in a process of its own, so that its work is not counted as the gateway's, and it shares no code with
//! the gateway, so that it is no mirror of its faults.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Runs until the process is ended. `codec` is an encoding name with its clock, such as `PCMU/8000`.
pub fn run(port: u16, codec: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(port, codec));
}

async fn serve(port: u16, codec: &str) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let mut calls: HashMap<String, (u16, JoinHandle<()>)> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let request = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let Some(id) = field(&request, "call-id", "i") else {
            continue;
        };
        let answer = match request.split(' ').next() {
            Some("INVITE") => {
                let Some((payload_type, to)) = offer(&request, codec) else {
                    let _ = socket
                        .send_to(answer(&request, "488 Not Acceptable Here", "").as_bytes(), from)
                        .await;
                    continue;
                };
                if !calls.contains_key(&id) {
                    let rtp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                    let own = rtp.local_addr().unwrap().port();
                    calls.insert(id.clone(), (own, tokio::spawn(echo(rtp, to))));
                }
                let own = calls[&id].0;
                let body = format!(
                    "v=0\r\no=bench 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                     m=audio {own} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {codec}\r\na=ptime:20\r\n"
                );
                let head =
                    format!("Contact: <sip:bench@127.0.0.1:{port}>\r\nContent-Type: application/sdp\r\n");
                answer(
                    &request,
                    "200 OK",
                    &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
                )
            }
            Some("BYE") => {
                if let Some((_, echo)) = calls.remove(&id) {
                    echo.abort();
                }
                answer(&request, "200 OK", "")
            }
            Some("CANCEL" | "OPTIONS") => answer(&request, "200 OK", ""),
            _ => continue,
        };
        let _ = socket.send_to(answer.as_bytes(), from).await;
    }
}

/// Sends each packet back to where the offer said, with an SSRC of its own.
async fn echo(socket: UdpSocket, to: SocketAddr) {
    let mut packet = [0; 2048];
    while let Ok((n, _)) = socket.recv_from(&mut packet).await {
        if n >= 12 {
            packet[8] ^= 0x55;
            let _ = socket.send_to(&packet[..n], to).await;
        }
    }
}

/// A header field by its long or compact name.
fn field(message: &str, long: &str, short: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        (name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)).then(|| value.trim().to_owned())
    })
}

/// The payload type of `codec` in the offer, and where its sender wants RTP.
fn offer(request: &str, codec: &str) -> Option<(u8, SocketAddr)> {
    let body = request.split_once("\r\n\r\n")?.1;
    let line = |prefix: &str| body.lines().find_map(|l| l.strip_prefix(prefix));
    let mut media = line("m=audio ")?.split(' ');
    let port: u16 = media.next()?.parse().ok()?;
    let address = line("c=IN IP4 ")?.trim().parse().ok()?;
    let mapped = body.lines().find_map(|l| {
        let (number, name) = l.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        name.trim()
            .to_ascii_lowercase()
            .starts_with(&codec.to_ascii_lowercase())
            .then(|| number.parse().ok())?
    });
    let fixed = || (codec == "PCMU/8000" && media.skip(1).any(|t| t == "0")).then_some(0);
    Some((mapped.or_else(fixed)?, SocketAddr::new(address, port)))
}

fn answer(request: &str, status: &str, rest: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    let head = request.split("\r\n\r\n").next().unwrap_or("");
    for line in head.lines().skip(1) {
        let name = line.split(':').next().unwrap_or("").trim().to_ascii_lowercase();
        match name.as_str() {
            "via" | "v" | "from" | "f" | "call-id" | "i" | "cseq" | "record-route" => {
                out.push_str(line);
                out.push_str("\r\n");
            }
            "to" | "t" => {
                out.push_str(line);
                if !line.contains("tag=") {
                    out.push_str(";tag=bench");
                }
                out.push_str("\r\n");
            }
            _ => {}
        }
    }
    out.push_str(if rest.is_empty() {
        "Content-Length: 0\r\n\r\n"
    } else {
        rest
    });
    out
}

//! The policy file of Flash Player: which domains' films may open sockets to us.
//!
//! Flash Player asks on port 843, and then on the port it wants to connect to (there the RTMP listener answers),
//! with `<policy-file-request/>` and a zero byte; the answer ends with a zero byte too.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Gate;

const REQUEST: &[u8] = b"<policy-file-request/>\0";
/// The longest a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file that lets films of these domains (`*`, `*.example.com`, `www.example.com`) connect to these ports,
/// without its final zero byte; `None` when there is no domain. Without ports, all are allowed.
pub fn policy_file(domains: &[String], ports: &[u16]) -> Option<String> {
    if domains.is_empty() {
        return None;
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = match ports.is_empty() {
        true => "*".to_owned(),
        false => ports.join(","),
    };
    let mut text = String::from("<?xml version=\"1.0\"?><cross-domain-policy>");
    for domain in domains {
        let _infallible = write!(
            text,
            "<allow-access-from domain=\"{domain}\" to-ports=\"{ports}\"/>"
        );
    }
    text.push_str("</cross-domain-policy>");
    Some(text)
}

/// Answers policy requests on listeners of their own, for ever.
pub async fn serve_policy(mut gate: Gate, policy: Arc<str>) {
    loop {
        let (_, stream, _, permit) = gate.accept().await;
        let policy = policy.clone();
        tokio::spawn(async move {
            let _gone = tokio::time::timeout(PATIENCE, answer(stream, &policy)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, policy: &str) -> std::io::Result<()> {
    let mut asked = [0; REQUEST.len()];
    stream.read_exact(&mut asked).await?;
    if asked == REQUEST {
        stream.write_all(policy.as_bytes()).await?;
        stream.write_all(&[0]).await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::Limits;

    #[test]
    fn the_file_names_domains_and_ports() {
        let domains = ["*.example.com".to_owned(), "a.example".to_owned()];
        assert_eq!(
            policy_file(&domains, &[1935, 1936]).unwrap(),
            "<?xml version=\"1.0\"?><cross-domain-policy>\
             <allow-access-from domain=\"*.example.com\" to-ports=\"1935,1936\"/>\
             <allow-access-from domain=\"a.example\" to-ports=\"1935,1936\"/></cross-domain-policy>"
        );
        assert!(policy_file(&domains, &[]).unwrap().contains("to-ports=\"*\""));
        assert_eq!(policy_file(&[], &[1935]), None);
    }

    #[tokio::test]
    async fn who_asks_is_answered_and_who_asks_for_something_else_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            total: 10,
            per_address: 10,
        };
        let server = tokio::spawn(serve_policy(Gate::new(vec![listener], limits), "<p/>".into()));
        let ask = async |question: &[u8]| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(question).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        };
        assert_eq!(ask(REQUEST).await, b"<p/>\0");
        assert_eq!(ask(b"GET / HTTP/1.1\r\nHost: x\r\n").await.len(), 0);
        server.abort();
    }
}

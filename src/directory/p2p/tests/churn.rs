//! A hundred peers in one process: how many lookups find their record, in how many requests, how fast; then
//! again right after a quarter of the peers died at once.
//!
//! `cargo bench -p p2p --bench churn [PEERS]` prints the table in README.md.

#![expect(clippy::unwrap_used, reason = "a measurement that fails has to say so")]

mod common;

use std::time::Duration;

use common::{contacts, name_key, peer, place, record};
use p2p::Handle;

const RECORDS: usize = 100;
const LOOKUPS: usize = 600;

#[derive(Default)]
struct Row {
    found: usize,
    requests: Vec<u32>,
    ms: Vec<f64>,
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(0.0)
}

impl Row {
    fn print(mut self, what: &str) {
        self.ms.sort_by(f64::total_cmp);
        self.requests.sort_unstable();
        let mean = f64::from(self.requests.iter().sum::<u32>()) / self.requests.len().max(1) as f64;
        println!(
            "| {what} | {} of {} | {mean:.1} | {:.0} | {:.0} | {:.0} |",
            self.found,
            self.ms.len(),
            at(&self.ms, 0.5),
            at(&self.ms, 0.95),
            at(&self.ms, 0.99),
        );
    }
}

async fn measure(peers: &[Handle], rng: &mut base::Rng) -> Row {
    let mut row = Row::default();
    for _ in 0..LOOKUPS {
        let reader = &peers[rng.below(peers.len() as u64) as usize];
        let aor = format!("user{}@example.com", rng.below(RECORDS as u64));
        let began = tokio::time::Instant::now();
        let got = reader.get(name_key(&aor)).await.unwrap();
        row.ms.push(began.elapsed().as_secs_f64() * 1e3);
        row.requests.push(got.requests);
        row.found += usize::from(!got.records.is_empty());
    }
    row
}

#[tokio::main]
async fn main() {
    let count: u16 = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next()
        .unwrap_or(100);
    let first = peer(1, &[]).await;
    let bootstrap = vec![place(&first).await];
    let mut peers = vec![first];
    for n in 2..=count {
        peers.push(peer(n, &bootstrap).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut rng = base::Rng::new(7);
    for n in 0..RECORDS {
        let writer = rng.below(peers.len() as u64) as usize;
        let record = record(writer as u16 + 1, &format!("user{n}@example.com"));
        peers[writer].put(record.key(), record.encode()).await.unwrap();
    }
    println!("| {count} peers | found | requests, mean | p50 ms | p95 ms | p99 ms |");
    println!("|---|---|---|---|---|---|");
    measure(&peers, &mut rng).await.print("all alive");
    for _ in 0..peers.len() / 4 {
        let dead = rng.below(peers.len() as u64) as usize;
        // A peer whose handle is gone ends without a word.
        drop(peers.swap_remove(dead));
    }
    measure(&peers, &mut rng)
        .await
        .print("right after a quarter died");
    assert_eq!(
        contacts(&peers[0], "nobody@example.com").await,
        Vec::<String>::new()
    );
    for peer in &peers {
        peer.close().await;
    }
}

use super::*;

#[test]
fn in_order_comes_out_at_once() {
    let mut j = JitterBuffer::new(8000, 20, 160);
    for i in 0..10u16 {
        let now = Time::from_millis(u64::from(i) * 20);
        let p = RtpPacket {
            payload_type: 0,
            marker: i == 0,
            seq: i,
            timestamp: u32::from(i) * 160,
            ssrc: 1,
            payload: &[i as u8],
        };
        assert_eq!(j.insert(now, &p), Ok(Insert::Queued));
        assert!(matches!(j.poll(now), Some(Out::Frame { payload, .. }) if payload == [i as u8]));
        assert_eq!(j.poll(now), None);
    }
}

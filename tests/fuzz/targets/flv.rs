//! FLV: tag bodies and files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmp::flv::{Audio, Reader, Tag, Video, write_header, write_tag};

fuzz_target!(|bytes: &[u8]| {
    let _ = Audio::parse(bytes);
    let _ = Video::parse(bytes);
    let Ok(reader) = Reader::new(bytes) else { return };
    let tags: Vec<Tag<'_>> = reader.map_while(Result::ok).collect();
    let mut file = Vec::new();
    write_header(true, true, &mut file);
    for tag in &tags {
        let _ = (Audio::parse(tag.body), Video::parse(tag.body));
        write_tag(*tag, &mut file);
    }
    let again: Result<Vec<_>, _> = Reader::new(&file).expect("a header we wrote").collect();
    assert_eq!(again.expect("tags we wrote"), tags);
});

use super::event::{Content, Event, Value, What};
use super::record::{framed, masked_crc};
use super::sink::Sink;
use prost::Message;
use run::dir::RunDir;
use run::events::{Body, Evaluation, Metrics, Sample};
use std::collections::BTreeMap;

/// Every event of the run's files in order, the checksums tested.
fn read(run: &RunDir) -> Vec<Event> {
    let mut files: Vec<_> =
        std::fs::read_dir(run.tensorboard()).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut events = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(masked_crc(&rest[..8]).to_le_bytes(), rest[8..12]);
            let body = &rest[12..12 + length];
            assert_eq!(masked_crc(body).to_le_bytes(), rest[12 + length..16 + length]);
            events.push(Event::decode(body).unwrap());
            rest = &rest[16 + length..];
        }
    }
    events
}

#[test]
fn the_checksum_is_tensorflows() {
    // CRC-32C of "123456789" is e3069283 (RFC 3720); masked by hand.
    assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    // The first record of any file of torch's SummaryWriter begins so: 24 bytes of version event.
    assert_eq!(framed(&[0; 24])[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
}

#[test]
fn events_become_scalars_texts_and_pictures() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path(), "a").unwrap();
    let picture = root.path().join("p.png");
    image::RgbImage::from_pixel(600, 300, image::Rgb([9, 8, 7])).save(&picture).unwrap();
    let mut sink = Sink::open(&run);
    let loss = |step, loss| Body::Metrics(Metrics { step, loss, ..Metrics::default() });
    sink.take(1.0, &loss(1, 5.0));
    sink.take(2.0, &loss(2, f64::NAN));
    sink.take(3.0, &Body::Resumed { from_step: 1 });
    sink.take(3.5, &Body::Heartbeat { step: 1 });
    let image = picture.display().to_string();
    let (caption, reference) = ("a cat".to_owned(), "the cat".to_owned());
    sink.take(4.0, &Body::Sample(Sample { step: 2, index: 3, image, reference, caption }));
    let result = Some(BTreeMap::from([("top1".to_owned(), 0.5)]));
    let zero_shot = Evaluation { step: 2, task: "zero_shot".to_owned(), result, ..Evaluation::default() };
    sink.take(5.0, &Body::Evaluation(zero_shot));
    drop(sink);
    let events = read(&run);
    assert_eq!(events.len(), 6, "{events:?}");
    assert_eq!(events[0], Event::version(1.0));
    assert_eq!(events[3], Event::restart(3.0, 2));
    let values = |i: usize| match &events[i].what {
        Some(What::Summary(s)) => s.value.clone(),
        other => panic!("{other:?}"),
    };
    assert!(values(1).contains(&Value::scalar("train/loss", 5.0)));
    let nan = values(2).into_iter().find(|v| v.tag == "train/loss").unwrap();
    assert!(matches!(nan.content, Some(Content::Scalar(x)) if x.is_nan()));
    let sample = values(4);
    assert_eq!((sample[0].tag.as_str(), sample[1].tag.as_str()), ("samples/3/captions", "samples/3"));
    let Some(Content::Image(image)) = &sample[1].content else { panic!("{:?}", sample[1].tag) };
    assert_eq!((image.width, image.height), (256, 128));
    assert_eq!(values(5), [Value::scalar("zero_shot/top1", 0.5)]);
}

#[test]
fn a_folder_that_cannot_be_made_stops_nobody() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path(), "a").unwrap();
    std::fs::write(run.tensorboard(), "in the way").unwrap();
    let mut sink = Sink::open(&run);
    sink.take(1.0, &Body::Metrics(Metrics::default()));
    drop(sink);
    std::fs::remove_file(run.tensorboard()).unwrap();
    let mut sink = Sink::open(&run);
    sink.take(1.0, &Body::Metrics(Metrics::default()));
    drop(sink);
    assert_eq!(read(&run).len(), 2);
}

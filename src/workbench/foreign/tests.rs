use super::*;
use crate::tensorboard::Sink;
use run::dir::RunDir;
use run::events::{Body, Evaluation, Metrics};

const OUT_LOG: &str = "\
2024-05-01,10:00:00 | INFO | Params:
2024-05-01,10:00:00 | INFO |   accum_freq: 1
2024-05-01,10:00:00 | INFO |   batch_size: 64
2024-05-01,10:00:00 | INFO |   epochs: 2
2024-05-01,10:00:00 | INFO |   model: coca_ViT-B-32
2024-05-01,10:00:00 | INFO |   world_size: 2
2024-05-01,10:00:10 | INFO | Start epoch 0
2024-05-01,10:00:12 | INFO | Train Epoch: 0 [ 128/1280 (10%)] Data (t): 0.120 Batch (t): 1.520, 84.2105/s, 42.1053/s/gpu LR: 0.000001 Logit Scale: 14.286 Contrastive_loss: 4.8520 (4.8520) Caption_loss: 11.100 (11.100) Loss: 15.952 (15.952)
2024-05-01,10:00:27 | INFO | Train Epoch: 0 [1280/1280 (100%)] Data (t): 0.010 Batch (t): 1.500, 85.3333/s, 42.6667/s/gpu LR: 0.000010 Logit Scale: 14.280 Contrastive_loss: 4.7000 (4.8) Caption_loss: nan (11.0) Loss: nan (15.5)
2024-05-01,10:00:30 | INFO | Eval Epoch: 1 [64 / 640]\tClip Loss: 4.1\t
2024-05-01,10:00:31 | INFO | Eval Epoch: 1 image_to_text_R@1: 0.1250\tclip_val_loss: 3.9000\tepoch: 1.0000\tnum_samples: 640.0000
";

#[test]
fn open_clips_log_alone_gives_curves() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("out.log"), OUT_LOG).unwrap();
    assert!(is_foreign(dir.path()));
    let (h, parameters) = read(dir.path(), None).unwrap();
    assert_eq!(parameters["model"], "coca_ViT-B-32");
    let loss = &h.curves["loss"];
    assert_eq!((&loss.steps[..], loss.values[0]), (&[0, 9][..], 15.952));
    assert!(loss.values[1].is_nan());
    assert_eq!(h.curves["samples_per_second"].values, [84.2105, 85.3333]);
    assert_eq!(h.curves["learning_rate"].values, [1e-6, 1e-5]);
    assert_eq!(h.curves["val/clip_val_loss"].steps, [10]);
    assert_eq!(loss.times[1] - loss.times[0], 15.0);
    let started = h.started.unwrap();
    assert_eq!((started.total_steps, started.batch_size, started.samples), (20, 128, 1280));
}

#[test]
fn our_own_event_files_come_back_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path(), "a").unwrap();
    let picture = root.path().join("p.png");
    image::RgbImage::from_pixel(60, 30, image::Rgb([9, 8, 7])).save(&picture).unwrap();
    let mut sink = Sink::open(&run);
    for step in 1..=4u64 {
        sink.take(step as f64, &Body::Metrics(Metrics { step, loss: step as f64, ..Metrics::default() }));
    }
    sink.take(5.0, &Body::Resumed { from_step: 2 });
    sink.take(6.0, &Body::Metrics(Metrics { step: 3, loss: 30.0, ..Metrics::default() }));
    let result = Some([("loss".to_owned(), 0.5)].into());
    sink.take(
        7.0,
        &Body::Evaluation(Evaluation { step: 3, task: "held_out".into(), result, ..Evaluation::default() }),
    );
    let image = picture.display().to_string();
    let sample = Sample { step: 3, index: 4, image, reference: "the cat".into(), caption: "a cat".into() };
    sink.take(8.0, &Body::Sample(sample));
    drop(sink);
    let (h, _) = read(&run.tensorboard(), None).unwrap();
    assert_eq!((&h.curves["loss"].steps[..], h.curves["loss"].last()), (&[1, 2, 3][..], Some(30.0)));
    assert_eq!((h.curves["held_out.loss"].last(), &h.resumes[..]), (Some(0.5), &[2][..]));
    let sample = &h.samples[&(3, 0)];
    assert_eq!((sample.reference.as_str(), sample.caption.as_str()), ("the cat", "a cat"));
    let (file, offset, length) = part_of(&sample.image).unwrap();
    let drawn = data::picture::decode(&read_part(&file, offset, length).unwrap()).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (60, 30));
}

#[test]
fn runs_below_a_folder_are_found_once_and_never_taken_apart() {
    let root = tempfile::tempdir().unwrap();
    let file = |path: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    };
    file("lightning/version_0/events.out.tfevents.1.a");
    file("lightning/version_1/events.out.tfevents.1.a");
    file("clip/out.log");
    file("clip/tensorboard/events.out.tfevents.1.a");
    file("ours/config.toml");
    file("ours/events.jsonl");
    file("ours/tensorboard/events.out.tfevents.1.a");
    file(".hidden/events.out.tfevents.1.a");
    file("nothing/a.txt");
    let root = root.path().canonicalize().unwrap();
    let found: Vec<_> = find(std::slice::from_ref(&root))
        .iter()
        .map(|p| p.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    assert_eq!(found, ["clip", "lightning/version_0", "lightning/version_1", "ours"]);
    assert!(!is_foreign(&root.join("ours")) && !is_foreign(&root.join("nothing")));
}

#[test]
fn a_log_that_grows_and_one_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("out.log");
    let half = OUT_LOG.find("2024-05-01,10:00:27").unwrap();
    std::fs::write(&log, &OUT_LOG[..half + 30]).unwrap();
    let mut follower = Follower::new(dir.path());
    let mut h = History::default();
    let look = |follower: &mut Follower, h: &mut History| {
        while let Some(items) = follower.poll().unwrap() {
            items.into_iter().for_each(|i| drop(take(h, i)));
        }
    };
    look(&mut follower, &mut h);
    assert_eq!(h.curves["loss"].steps, [0]);
    std::fs::write(&log, OUT_LOG).unwrap();
    look(&mut follower, &mut h);
    assert_eq!(h.curves["loss"].steps, [0, 9]);
    std::fs::write(&log, &OUT_LOG[..half]).unwrap();
    look(&mut follower, &mut h);
    assert_eq!(h.curves["loss"].steps, [0]);
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert!(follower.poll().is_err());
}

#[test]
fn of_very_many_event_files_the_newest_are_read() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path(), "a").unwrap();
    let mut sink = Sink::open(&run);
    sink.take(1.0, &Body::Metrics(Metrics { step: 1, loss: 2.0, ..Metrics::default() }));
    drop(sink);
    let written = std::fs::read_dir(run.tensorboard()).unwrap().next().unwrap().unwrap().path();
    let folder = root.path().join("many");
    std::fs::create_dir(&folder).unwrap();
    for n in 0..10_000 {
        std::fs::write(folder.join(format!("events.out.tfevents.{n:05}.a")), "").unwrap();
    }
    std::fs::rename(written, folder.join("events.out.tfevents.99999.a")).unwrap();
    let (h, _) = read(&folder, None).unwrap();
    assert_eq!(h.curves["loss"].steps, [1]);
}

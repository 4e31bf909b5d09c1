//! The engine: one process for each rank, started by `cocaptain` with a line to report on.

use std::process::ExitCode;

use engine::link::Link;
use run::link::Job;

fn main() -> ExitCode {
    engine::device::prepare_memory();
    let asked: Vec<String> = std::env::args().skip(1).collect();
    match asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => rank(),
        ["doctor"] => doctor(),
        ["bench", request] => bench(request),
        ["--version"] => {
            println!("cocaptain-engine {} (build {})", run::VERSION, run::BUILD_ID);
            ExitCode::SUCCESS
        }
        _ => {
            run::note!(
                "usage: cocaptain-engine [doctor | bench JSON | --version]; without arguments it is a rank of a run"
            );
            ExitCode::from(2)
        }
    }
}

/// Times one piece of work, and prints the result as JSON.
fn bench(request: &str) -> ExitCode {
    match engine::bench::run(request) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("cocaptain-engine: {e}");
            ExitCode::from(1)
        }
    }
}

fn rank() -> ExitCode {
    // libtorch decides at its first question about CUDA whether there is any: load it before anything else.
    let _ = engine::device::load_cuda();
    let link = match Link::open() {
        Ok(link) => link,
        Err(e) => {
            run::note!("cocaptain-engine: {e}");
            return ExitCode::from(2);
        }
    };
    let status = match link.job() {
        Ok(Job::Train(job)) => engine::train::run(job, &link),
        Ok(Job::Serve(job)) => engine::serve::run(job, &link),
        Err(e) => {
            run::note!("cocaptain-engine: {e}");
            2
        }
    };
    // Sends what is left to say.
    drop(link);
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}

/// Prints what this engine is and can use, as one JSON object.
fn doctor() -> ExitCode {
    let cuda = match engine::device::cuda_devices() {
        Ok(devices) => serde_json::json!({ "devices": devices }),
        Err(why) => serde_json::json!({ "devices": 0, "why": why }),
    };
    let report = serde_json::json!({
        "version": run::VERSION,
        "build": run::BUILD_ID,
        "libtorch": engine::LIBTORCH_VERSION,
        "threads": engine::device::num_threads(),
        "cuda": cuda,
    });
    println!("{report}");
    ExitCode::SUCCESS
}

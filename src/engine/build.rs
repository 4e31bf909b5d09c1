//! Compiles the C++ shim against the libtorch that torch-sys found, and makes the programs of this crate
//! find that libtorch without LD_LIBRARY_PATH: in the checkout, and beside an installed binary.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Set by torch-sys (links = "tch") for its direct dependents only.
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB")?;
    let root = Path::new(&lib).parent().ok_or("libtorch's lib folder has no parent")?;
    let include = root.join("include");

    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/cocaptain");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");

    println!("cargo:rerun-if-changed=shim");
    let common = || {
        let mut build = cc::Build::new();
        let _ = build
            .cpp(true)
            .std("c++17")
            .define("_GLIBCXX_USE_CXX11_ABI", "1")
            // -isystem: libtorch's headers warn under -Wall, and those warnings are not ours to mend.
            .flag("-isystem")
            .flag(include.display().to_string())
            .flag("-isystem")
            .flag(include.join("torch/csrc/api/include").display().to_string());
        build
    };
    let mut shim = common();
    let _ = shim.opt_level(2).define("USE_DISTRIBUTED", None).define("USE_C10D_GLOO", None);
    let _ = shim.flag("-isystem").flag("shim/gloo_stub");
    for source in ["shim", "adamw", "block", "c10d", "shards", "segment", "memory", "products"] {
        let _ = shim.file(format!("shim/{source}.cpp"));
    }
    shim.compile("cocaptain_shim");
    // OpenMP: at::parallel_for is a plain loop without it. Its library is the one that libtorch brings.
    let mut rows = common();
    let _ = rows.opt_level(3).flag("-fopenmp").flag("-ffp-contract=fast").flag("-fno-math-errno");
    let _ = rows.flag("-Wno-psabi").file("shim/rows.cpp").file("shim/step.cpp").file("shim/moments.cpp");
    rows.compile("cocaptain_rows");
    println!("cargo:rustc-link-lib=dylib=gomp");
    nccl(&common, root)
}

/// The library for ranks on GPUs, beside the programs, where the headers that it needs are: libtorch's with CUDA, those
/// of NVIDIA's wheels. Without them there is none, which the engine says when one is asked for.
fn nccl(common: &dyn Fn() -> cc::Build, root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=COCAPTAIN_NVIDIA");
    // As the wheels lie beside one another; the variable names another place of them.
    let nvidia = std::env::var("COCAPTAIN_NVIDIA").map_or_else(|_| root.join("../nvidia"), Into::into);
    let headers = [nvidia.join("nccl/include"), nvidia.join("cu13/include")];
    let needed = [headers[0].join("nccl.h"), headers[1].join("cuda_runtime_api.h")];
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // OUT_DIR is target/<profile>/build/<package>/out.
    let programs = out.ancestors().nth(3).ok_or("OUT_DIR is not below the programs' folder")?;
    let library = programs.join("libcocaptain_nccl.so");
    // A file that is not there would count as changed at every build: the libraries tell when a set with it takes their place.
    println!("cargo:rerun-if-changed={}", root.join("lib").display());
    needed
        .iter()
        .filter(|file| file.is_file())
        .for_each(|file| println!("cargo:rerun-if-changed={}", file.display()));
    if needed.iter().any(|file| !file.is_file()) {
        let _ = std::fs::remove_file(&library);
        return Ok(());
    }
    let mut build = common();
    let _ = build.opt_level(2).define("USE_DISTRIBUTED", None).define("USE_C10D_NCCL", None).pic(true);
    for folder in headers.iter().map(|f| f.display().to_string()) {
        let _ = build.flag("-isystem").flag(folder);
    }
    let objects = build.file("shim/nccl/nccl.cpp").try_compile_intermediates()?;
    // What is not defined here is libtorch_cuda's and NCCL's, which the engine loads first.
    let mut link = build.get_compiler().to_command();
    let linked = link.arg("-shared").arg("-o").arg(&library).args(&objects).status()?;
    if !linked.success() {
        return Err(format!("{} could not be linked", library.display()).into());
    }
    Ok(())
}

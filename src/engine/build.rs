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
    Ok(())
}

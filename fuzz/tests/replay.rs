//! Runs every target over its seeds, and over what the fuzzer has found since, without the fuzzer.

use std::{fs, path::Path};
use stonechat_fuzz::TARGETS;

#[test]
fn seeds_and_findings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in TARGETS {
        let mut seeds = 0;
        for folder in ["seeds", "corpus", "artifacts"] {
            let Ok(files) = fs::read_dir(root.join(folder).join(name)) else { continue };
            for file in files {
                let path = file.expect("a readable folder").path();
                println!("{}", path.display()); // shown if the target panics
                target(&fs::read(path).expect("a readable file"));
                seeds += 1;
            }
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}

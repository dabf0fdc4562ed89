//! The embedded judges on personas that no training saw.

use std::path::Path;

use apc::progress::Job;
use apc::tiny::pretrain::evaluate_judges;
use burn::tensor::Device;

/// A seed that no training used.
const UNSEEN: u64 = 4242;

#[test]
fn the_embedded_judges_are_right_on_unseen_personas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    for folder in [root.clone(), root.join("evaluation")] {
        let [relevance, nli] =
            evaluate_judges(&folder, UNSEEN, 1000, &Device::flex(), &Job::default()).unwrap();
        assert!(
            relevance >= 0.92 && nli >= 0.85,
            "{}: relevance {relevance}, nli {nli}",
            folder.display()
        );
    }
}

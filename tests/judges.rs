//! The embedded judges on personas that no training saw.

use std::path::Path;

use apc::pretrain::evaluate_judges;
use apc::progress::Job;
use burn::tensor::Device;

/// A seed that no training used.
const UNSEEN: u64 = 4242;

#[test]
fn the_embedded_judges_are_far_better_than_chance_on_unseen_personas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    // Chance is 0.5 and 0.33; the judges that reward had longer training than those that grade.
    for (folder, least) in [
        (root.clone(), [0.78, 0.7]),
        (root.join("evaluation"), [0.65, 0.65]),
    ] {
        let [relevance, nli] =
            evaluate_judges(&folder, UNSEEN, 400, &Device::flex(), &Job::default()).unwrap();
        assert!(
            relevance >= least[0] && nli >= least[1],
            "{}: relevance {relevance}, nli {nli}",
            folder.display()
        );
    }
}

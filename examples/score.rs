//! Scores three replies to one question: one that follows from what is known, one that evades, one that contradicts it.
//!
//! ```text
//! cargo run --release --example score
//! ```
#![allow(clippy::print_stdout, reason = "an example prints")]

use apc::persona::Persona;
use burn::tensor::Device;

fn main() -> apc::Result<()> {
    let scorer = apc::tiny::scorer(&Device::flex().into())?;
    let mira = Persona::new("Mira", ["Mira plays the cello.", "Mira lives in Bergen."]);
    let question = "Which instrument do you play?";
    for reply in [
        "I play the cello.",
        "I would rather not say.",
        "I play the drums.",
    ] {
        let score = scorer.score(&mira, question, reply)?;
        println!(
            "APC {:.3}, ΔAPC {:+.3}: {reply}",
            score.apc, score.delta_apc
        );
    }
    Ok(())
}

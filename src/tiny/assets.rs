//! The embedded models by name.

use apc_persona_tiny as data;

use crate::Result;
use crate::files::{Checkpoint, EmbeddedFile};
use crate::parallel::Devices;
use crate::persona::Scorer;

/// What the embedded Gemma is called where a model is named.
pub const EMBEDDED: &str = "embedded";

/// Returns a scorer with the embedded judges that reward.
///
/// ```
/// use apc::persona::Persona;
/// use burn::tensor::Device;
///
/// let scorer = apc::tiny::scorer(&Device::flex().into())?;
/// let mira = Persona::new("Mira", ["Mira plays the cello.", "Mira lives in Bergen."]);
/// let score = scorer.score(&mira, "Which instrument do you play?", "I play the cello.")?;
/// assert!(score.delta_apc > 0.5);
/// # Ok::<(), apc::Error>(())
/// ```
pub fn scorer(devices: &Devices) -> Result<Scorer> {
    let [relevance, nli] =
        [Embedded::Relevance, Embedded::Nli].map(|judge| judge.checkpoint().into());
    Scorer::load(&relevance, &nli, devices)
}

/// A model that travels inside the program as the files of a Hugging Face folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Embedded {
    /// The Gemma that answers from the statements in its prompt.
    Gemma,
    /// The relevance judge that rewards.
    Relevance,
    /// The NLI judge that rewards.
    Nli,
    /// The relevance judge that grades, trained from another seed, and without a different tenth of the personas.
    GradingRelevance,
    /// The NLI judge that grades, trained from another seed, and without a different tenth of the personas.
    GradingNli,
}

impl Embedded {
    /// Every embedded model.
    pub const ALL: [Self; 5] = [
        Self::Gemma,
        Self::Relevance,
        Self::Nli,
        Self::GradingRelevance,
        Self::GradingNli,
    ];

    /// Returns the model's folder below `models/tiny`, by which it is also known in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemma => "gemma",
            Self::Relevance => "relevance",
            Self::Nli => "nli",
            Self::GradingRelevance => "evaluation/relevance",
            Self::GradingNli => "evaluation/nli",
        }
    }

    /// Returns the model with this [`name`](Self::name), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// Returns the files of the model's folder, ordered by name.
    pub fn files(self) -> &'static [EmbeddedFile] {
        match self {
            Self::Gemma => data::GEMMA,
            Self::Relevance => data::RELEVANCE,
            Self::Nli => data::NLI,
            Self::GradingRelevance => data::GRADING_RELEVANCE,
            Self::GradingNli => data::GRADING_NLI,
        }
    }

    /// Returns the model as a checkpoint: `embedded` is the Gemma, and `embedded/relevance` a judge.
    pub fn checkpoint(self) -> Checkpoint {
        let name = match self {
            Self::Gemma => EMBEDDED.to_string(),
            judge => format!("{EMBEDDED}/{}", judge.name()),
        };
        Checkpoint::embedded(&name, self.files())
    }

    /// Returns the bytes of one file of the model's folder, if it has one of this name.
    pub fn file(self, name: &str) -> Option<&'static [u8]> {
        let found = self.files().iter().find(|(file, _)| *file == name);
        found.map(|(_, bytes)| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folders_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
        for model in Embedded::ALL {
            assert_eq!(Embedded::from_name(model.name()), Some(model));
            let folder = root.join(model.name());
            let mut names: Vec<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let embedded: Vec<&str> = model.files().iter().map(|(name, _)| *name).collect();
            assert_eq!(names, embedded, "{}", model.name());
            for name in names {
                let bytes = std::fs::read(folder.join(&name)).unwrap();
                assert_eq!(Some(&bytes[..]), model.file(&name), "{name}");
            }
        }
    }
}

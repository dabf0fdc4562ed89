//! The default models and pages: where they are, and what a run starts from without others.

use std::path::{Path, PathBuf};

use crate::pipeline::{JudgeModel, Judges, Model, Page, Sources};
use crate::tiny::Offline;

/// A folder of the embedded models or pages: below the current folder, or where the program was built.
pub(crate) fn locate(relative: &str) -> PathBuf {
    let here = PathBuf::from(relative);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    if here.exists() || !built.exists() {
        here
    } else {
        built
    }
}

/// The folder with pages about characters.
pub(crate) fn pages() -> PathBuf {
    locate("wiki")
}

/// What a run about a page starts from, unless its settings name something else.
pub(crate) fn sources(page: Option<Page>) -> Sources {
    let model = |name: &str| Model::named("embedded", locate(&format!("models/tiny/{name}")));
    let judges = |relevance: &str, nli: &str| Judges {
        relevance: JudgeModel::from(model(relevance)),
        nli: JudgeModel::from(model(nli)),
    };
    Sources {
        page,
        teacher: Box::new(Offline),
        judges: judges("relevance", "nli"),
        graders: judges("evaluation/relevance", "evaluation/nli"),
        base: model("gemma"),
    }
}

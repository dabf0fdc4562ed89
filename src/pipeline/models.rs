//! The models that a run uses, and what it starts from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::hub::Hub;
use crate::persona::{JudgeFolder, JudgeTemplate};
use crate::pipeline::hashes::folder_hash;
use crate::pipeline::page::Page;
use crate::teacher::Teacher;

/// A model's files, and what records call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    name: String,
    folder: PathBuf,
    given: PathBuf,
}

impl Model {
    /// The model in a folder, under a name that means the same on every machine.
    pub fn named(name: &str, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            name: name.to_string(),
            given: folder.clone(),
            folder,
        }
    }

    /// The model in a folder, called by that folder: by its path if that is relative, else by its last part.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self::named(&portable(&folder), folder)
    }

    /// The model in a folder or on the hub, where its name has the revision that was found.
    pub fn find(hub: &Hub, given: &Path) -> Result<Self> {
        Ok(Self::found(given, hub.folder(given)?))
    }

    /// A model that was asked for as `given` and found in `folder`.
    pub(super) fn found(given: &Path, folder: PathBuf) -> Self {
        if folder == given {
            return Self::folder(folder);
        }
        let id = given.display().to_string();
        let id = id.split('@').next().unwrap_or_default();
        let revision = folder.file_name().unwrap_or_default().to_string_lossy();
        Self {
            name: format!("{id}@{revision}"),
            folder,
            given: given.to_path_buf(),
        }
    }

    /// What records call it: `embedded`, a name on the hub with its revision, or a folder, never an absolute path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// What an adapter that was trained on it names as its base.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// What identifies its files; see [`folder_hash`].
    pub fn hash(&self) -> Result<String> {
        folder_hash(&self.folder)
    }
}

/// A path that tells nothing of this machine.
pub(super) fn portable(path: &Path) -> String {
    let shown = if path.is_absolute() {
        path.file_name().map_or(path, Path::new)
    } else {
        path
    };
    shown.display().to_string()
}

/// A judge's model, and how it is asked if its files do not say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeModel {
    /// The model.
    pub model: Model,
    /// How it is asked, in place of what its `judge.json` says.
    pub template: Option<JudgeTemplate>,
}

impl From<Model> for JudgeModel {
    fn from(model: Model) -> Self {
        Self {
            model,
            template: None,
        }
    }
}

impl JudgeModel {
    /// The judge as it is loaded.
    pub fn folder(&self) -> JudgeFolder {
        JudgeFolder {
            folder: self.model.folder.clone(),
            template: self.template.clone(),
        }
    }

    /// What identifies the judge: its model and, if it is not the model's own, the way it is asked.
    pub(super) fn identity(&self) -> Result<Value> {
        let hash = self.model.hash()?;
        Ok(match &self.template {
            None => json!(hash),
            Some(template) => json!([hash, template]),
        })
    }

    /// What records tell of it.
    pub(super) fn about(&self) -> Value {
        match &self.template {
            None => json!({"name": self.model.name()}),
            Some(template) => json!({"name": self.model.name(), "template": template.template}),
        }
    }
}

/// The two judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judges {
    /// Whether a statement matters to a query.
    pub relevance: JudgeModel,
    /// Whether a reply follows from a statement.
    pub nli: JudgeModel,
}

/// What a run starts from, unless its settings name something else.
pub struct Sources {
    /// The page about the character; data that was imported stands for its own.
    pub page: Option<Page>,
    /// Who teaches if the settings choose [`TeacherChoice::Given`](crate::pipeline::TeacherChoice::Given).
    pub teacher: Box<dyn Teacher>,
    /// The judges that reward replies to the default Gemma.
    pub judges: Judges,
    /// The judges that grade, which took no part in the reward.
    pub graders: Judges,
    /// The default Gemma.
    pub base: Model,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("page", &self.page)
            .field("teacher", &self.teacher.version())
            .field("judges", &self.judges)
            .field("graders", &self.graders)
            .field("base", &self.base)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_an_absolute_path() {
        let name = |given: &str, folder: &str| {
            let model = Model::found(Path::new(given), folder.into());
            (
                model.name().to_string(),
                model.given().display().to_string(),
            )
        };
        let there = "/home/me/models/gemma";
        assert_eq!(name(there, there), ("gemma".into(), there.into()));
        assert_eq!(
            name("models/gemma", "models/gemma").0,
            "models/gemma",
            "relative to where the program runs"
        );
        let snapshot = "/home/me/hub/models--a--b/snapshots/0123abc";
        for given in ["a/b", "a/b@main"] {
            assert_eq!(
                name(given, snapshot),
                ("a/b@0123abc".into(), given.into()),
                "{given}"
            );
        }
    }
}

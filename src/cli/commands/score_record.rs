//! What the scores of a file were made with: a record beside it, so that a run that goes on mixes no two scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::args::judges::JudgeIdentity;
use crate::{Result, files};

/// What the scores of a file were made with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScoreRecord {
    /// The version of the program.
    version: String,
    /// Whose replies they are where a line does not tell.
    character: Option<String>,
    characters: BTreeMap<String, ScoredWith>,
}

/// What the replies of a character were scored with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ScoredWith {
    /// The SHA-256 of the statements; none if each line has its own.
    pub(super) statements: Option<String>,
    pub(super) relevance: JudgeIdentity,
    pub(super) nli: JudgeIdentity,
}

impl ScoreRecord {
    pub(super) fn new(character: Option<&str>, characters: BTreeMap<String, ScoredWith>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            character: character.map(str::to_string),
            characters,
        }
    }

    /// Returns where the record of a file of scores lies.
    pub(super) fn path(scores: &Path) -> PathBuf {
        let mut path = scores.as_os_str().to_os_string();
        path.push(".record.json");
        path.into()
    }

    /// Reads the record of a file of scores.
    pub(super) fn read(scores: &Path) -> Result<Self> {
        files::read_json(&Self::path(scores))
    }

    /// Writes the record beside its file of scores.
    pub(super) fn write(&self, scores: &Path) -> Result<()> {
        files::write_json(&Self::path(scores), self)
    }

    /// Tells what differs between this and what scores would be made with `now`.
    ///
    /// - scored: whom the lines that are scored name
    pub(super) fn differences<'a>(
        &self,
        now: &Self,
        scored: impl Iterator<Item = Option<&'a str>>,
    ) -> Vec<String> {
        let mut told = Differences::default();
        if self.version != now.version {
            told.all(format!("version {} → {}", self.version, now.version));
        }
        for named in scored {
            if named.is_none() && self.character != now.character {
                let name = |record: &Self| record.character.clone().unwrap_or("none".into());
                told.all(format!("character {} → {}", name(self), name(now)));
                continue;
            }
            let Some(name) = named.or(now.character.as_deref()) else {
                continue;
            };
            let (Some(old), Some(new)) = (self.characters.get(name), now.characters.get(name))
            else {
                told.of(name, "no record".into());
                continue;
            };
            if let (Some(old), Some(new)) = (&old.statements, &new.statements)
                && old != new
            {
                told.of(name, "statements changed".into());
            }
            for (judge, old, new) in [
                ("relevance judge", &old.relevance, &new.relevance),
                ("NLI judge", &old.nli, &new.nli),
            ] {
                if let Some(difference) = between(judge, old, new) {
                    told.of(name, difference);
                }
            }
        }
        told.lines()
    }
}

/// How a judge differs from the recorded one, if it does.
fn between(judge: &str, old: &JudgeIdentity, new: &JudgeIdentity) -> Option<String> {
    // A folder may have another name now; a chat model has nothing else.
    let is_other = old.hash != new.hash || (old.hash.is_none() && old.name != new.name);
    if is_other && old.name != new.name {
        Some(format!("{judge} {} → {}", old.name, new.name))
    } else if is_other {
        Some(format!("{judge} changed"))
    } else if old.template != new.template {
        Some(format!("template of the {judge} changed"))
    } else if (&old.labels, old.activation) != (&new.labels, new.activation) {
        Some(format!("labels of the {judge} changed"))
    } else if old.precision != new.precision {
        Some(format!("precision of the {judge} changed"))
    } else {
        None
    }
}

/// Differences in the order in which they were found, with the characters that they concern.
#[derive(Default)]
struct Differences(Vec<(String, Vec<String>)>);

impl Differences {
    fn all(&mut self, what: String) {
        if self.0.iter().all(|(known, _)| *known != what) {
            self.0.push((what, Vec::new()));
        }
    }

    fn of(&mut self, character: &str, what: String) {
        self.all(what.clone());
        let found = self.0.iter_mut().find(|(known, _)| *known == what);
        if let Some((_, names)) =
            found.filter(|(_, names)| !names.iter().any(|name| name == character))
        {
            names.push(character.to_string());
        }
    }

    fn lines(self) -> Vec<String> {
        /// More names tell nobody more.
        const SHOWN: usize = 3;
        let line = |(what, names): (String, Vec<String>)| match names.len() {
            0 => what,
            n_names if n_names > SHOWN => {
                let shown = names[..SHOWN].join(", ");
                format!("{what} (of {shown} and {} others)", n_names - SHOWN)
            }
            _ => format!("{what} (of {})", names.join(", ")),
        };
        self.0.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Dtype, Precision};
    use crate::persona::JudgeTemplate;

    fn judge(name: &str) -> JudgeIdentity {
        JudgeIdentity {
            name: name.into(),
            hash: Some(files::checksum_of(name)),
            template: Some(JudgeTemplate::Text("{statement}".into())),
            labels: None,
            activation: None,
            precision: Some(Precision::default()),
        }
    }

    fn record() -> ScoreRecord {
        let with = ScoredWith {
            statements: Some("a".into()),
            relevance: judge("r"),
            nli: judge("n"),
        };
        ScoreRecord::new(Some("Mira"), BTreeMap::from([("Mira".into(), with)]))
    }

    #[test]
    fn each_difference_is_named_and_what_is_the_same_under_another_name_is_none() {
        let told = |change: &dyn Fn(&mut ScoreRecord)| {
            let mut now = record();
            change(&mut now);
            record().differences(&now, [None, Some("Mira")].into_iter())
        };
        fn mira(record: &mut ScoreRecord) -> &mut ScoredWith {
            record.characters.get_mut("Mira").unwrap()
        }
        assert!(told(&|_| ()).is_empty());
        assert!(told(&|now| mira(now).nli.name = "elsewhere/n".into()).is_empty());
        for (change, line) in [
            (
                &(|now: &mut ScoreRecord| now.version = "9".into()) as &dyn Fn(&mut ScoreRecord),
                concat!("version ", env!("CARGO_PKG_VERSION"), " → 9"),
            ),
            (
                &|now| now.character = Some("Odile".into()),
                "character Mira → Odile",
            ),
            (
                &|now| mira(now).statements = Some("b".into()),
                "statements changed (of Mira)",
            ),
            (
                &|now| mira(now).nli = judge("m"),
                "NLI judge n → m (of Mira)",
            ),
            (
                &|now| mira(now).relevance.template = Some(JudgeTemplate::Text("{query}".into())),
                "template of the relevance judge changed (of Mira)",
            ),
            (
                &|now| mira(now).nli.precision = Some(Dtype::Bfloat16.into()),
                "precision of the NLI judge changed (of Mira)",
            ),
        ] {
            assert_eq!(told(change), [line]);
        }
    }
}

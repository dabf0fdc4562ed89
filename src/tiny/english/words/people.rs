//! People: the pronoun for a name, kin words, jobs.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::grammar;
use super::lexicon::{
    self, ANIMALS, FEMALE, JOBS, MALE, OTHER_PEOPLE, PEOPLE, THINGS_IN_ER, has_word, set_of,
};
use super::tokens::Token;

/// The pronoun a text uses for someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gender {
    He,
    She,
    They,
}

impl Gender {
    /// Nominative, accusative, possessive, possessive alone, reflexive.
    pub(crate) fn forms(self) -> [&'static str; 5] {
        match self {
            Self::He => ["he", "him", "his", "his", "himself"],
            Self::She => ["she", "her", "her", "hers", "herself"],
            Self::They => ["they", "them", "their", "theirs", "themselves"],
        }
    }

    /// The gender a pronoun shows.
    pub(crate) fn of_pronoun(lower: &str) -> Option<Self> {
        [Self::He, Self::She, Self::They]
            .into_iter()
            .find(|gender| {
                gender.forms().contains(&lower) || (*gender == Self::They && lower == "themself")
            })
    }

    /// The gender of a given name, a title or a kin word.
    pub(crate) fn of_word(lower: &str) -> Option<Self> {
        match (MALE_SET.contains(lower), FEMALE_SET.contains(lower)) {
            (true, false) => Some(Self::He),
            (false, true) => Some(Self::She),
            _ => None,
        }
    }
}

static MALE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(MALE));
static FEMALE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(FEMALE));
static PEOPLE_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(PEOPLE));
static JOB_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(JOBS));
static LIVING_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    set_of(ANIMALS)
        .union(&set_of(OTHER_PEOPLE))
        .copied()
        .collect()
});
static THING_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| set_of(THINGS_IN_ER));
pub(crate) const PARTICLES: &[&str] = &[
    "van", "von", "de", "der", "den", "la", "le", "du", "di", "da", "al", "el", "bin", "ibn", "of",
    "the",
];
const PLACE_WORDS: &str = "House Museum Festival Street Park Award Prize University Society Symphony Foundation Hall Monument Day Army \
    Competition Trio School Bridge Library Castle Church Theatre Theater Academy Institute College Hospital Prison Station \
    Tower River Lake Sea Mountains Quartet Concerto Sonata Variations Ball Tournament Cup War Battle Ministry Empire \
    Company Club Guild Order League";

/// Whether a word is the last of the name of a place or a group.
pub(crate) fn is_place_word(text: &str) -> bool {
    has_word(PLACE_WORDS, text)
}

/// Whether the words name a person.
pub(crate) fn person_gender(tokens: &[Token]) -> Option<Option<Gender>> {
    let head = tokens
        .iter()
        .position(|token| grammar::is_preposition(&token.lower))
        .unwrap_or(tokens.len());
    let noun_phrase = &tokens[..head.max(1).min(tokens.len())];
    let last_genitive = noun_phrase
        .iter()
        .rposition(Token::is_genitive)
        .map_or(0, |idx| idx + 1);
    let noun_phrase = &noun_phrase[last_genitive.min(noun_phrase.len())..];
    if noun_phrase
        .iter()
        .rev()
        .find(|token| token.is_word())
        .is_some_and(|last| is_place_word(&last.text) || lexicon::is_proper(&last.lower))
    {
        return None;
    }
    if let Some(gender) = noun_phrase
        .iter()
        .filter(|token| !token.me)
        .find_map(|token| Gender::of_word(&token.lower))
    {
        return Some(Some(gender));
    }
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let is_person = |token: &Token| {
        PEOPLE_SET.contains(token.lower.as_str())
            || PEOPLE_SET.contains(singular(&token.lower).as_str())
            || JOB_SET.contains(singular(&token.lower).as_str())
    };
    let last_word = noun_phrase.iter().rev().find(|token| token.is_word());
    if last_word.is_some_and(is_person) {
        return Some(None);
    }
    let named = noun_phrase.first().is_some_and(|token| {
        token.is_capital()
            && !grammar::is_determiner(&token.lower)
            && !token.me
            && !token
                .is_in("nobody nothing it there everything something neither none most some many")
    });
    (named
        && noun_phrase.iter().all(|token| {
            token.is_capital()
                || PARTICLES.contains(&token.lower.as_str())
                || token.is("and")
                || token.is(",")
        }))
    .then_some(None)
}

/// Whether the word is a person or a plural of persons.
pub(crate) fn is_person_word(lower: &str) -> bool {
    let singular = lower.strip_suffix('s').unwrap_or(lower);
    [lower, singular].iter().any(|word| {
        PEOPLE_SET.contains(word) || JOB_SET.contains(word) || Gender::of_word(word).is_some()
    })
}

/// Whether the word is one person or several, by what they are: `patient`, `twins`, `nurse`.
pub(crate) fn is_person(lower: &str) -> bool {
    let singular = lower.strip_suffix('s').unwrap_or(lower);
    [lower, singular]
        .iter()
        .any(|word| PEOPLE_SET.contains(word))
}

/// Whether a noun phrase is an animal or somebody who is named by what they do, so that `he` or `she` may stand for it: `his landlord`,
/// `the old dog`, `a beekeeper`.
pub(crate) fn is_living(tokens: &[Token]) -> bool {
    let end = tokens
        .iter()
        .skip(1)
        .position(|token| {
            let is_where = token.is_in("next upstairs downstairs opposite over");
            is_where || grammar::is_preposition(&token.lower) || !token.is_word()
        })
        .map(|end| end + 1);
    let phrase = &tokens[..end.unwrap_or(tokens.len())];
    let Some(head) = phrase.last().map(|head| head.lower.as_str()) else {
        return false;
    };
    let ends_as_doer = ["er", "or", "ist", "ian", "man", "woman"]
        .iter()
        .any(|end| head.len() > end.len() + 2 && head.ends_with(end));
    LIVING_SET.contains(head) || ends_as_doer && !THING_SET.contains(head)
}

/// Whether a heading or the name of a field is one person: `wife`, `Older sister`, and no job, which may be the character's.
pub(crate) fn is_person_word_of(name: &str) -> bool {
    let last = name.split_whitespace().next_back().unwrap_or_default();
    let last = last.to_lowercase();
    Gender::of_word(&last).is_some()
        || is_person_word(&last) && !grammar::is_plural(&last) && !is_job(&last)
}

/// Whether the word is a given name, and no word for a relative or a title.
pub(crate) fn is_name(lower: &str) -> bool {
    const KIN: &str = "mother father mom mum mama dad papa sister brother wife husband son daughter aunt uncle niece nephew grandmother \
        grandfather grandma grandpa girlfriend boyfriend fiance fiancee widow widower king queen prince princess lady lord \
        man woman boy girl stepmother stepfather stepsister stepbrother grandson granddaughter master mistress";
    Gender::of_word(lower).is_some() && !PEOPLE_SET.contains(lower) && !has_word(KIN, lower)
}

/// Whether the word is a job.
pub(crate) fn is_job(lower: &str) -> bool {
    JOB_SET.contains(lower)
}

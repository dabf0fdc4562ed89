//! Who is meant: the character's names, the pronoun, and the people beside.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::clause::{self, Subject};
use super::lexicon::{FEMALE, JOBS, MALE, PEOPLE, set_of};
use super::tokens::{Token, expand, tokenize};
use super::verbs;

/// The pronoun a text uses for someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gender {
    He,
    She,
    They,
}

impl Gender {
    /// Nominative, accusative, possessive, possessive alone, reflexive.
    pub(super) fn forms(self) -> [&'static str; 5] {
        match self {
            Self::He => ["he", "him", "his", "his", "himself"],
            Self::She => ["she", "her", "her", "hers", "herself"],
            Self::They => ["they", "them", "their", "theirs", "themselves"],
        }
    }

    /// The gender a pronoun shows.
    pub(super) fn of_pronoun(lower: &str) -> Option<Self> {
        [Self::He, Self::She, Self::They].into_iter().find(|gender| gender.forms().contains(&lower) || (*gender == Self::They && lower == "themself"))
    }

    /// The gender of a given name, a title or a kin word.
    pub(super) fn of_word(lower: &str) -> Option<Self> {
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
const PARTICLES: &[&str] = &["van", "von", "de", "der", "den", "la", "le", "du", "di", "da", "al", "el", "bin", "ibn", "of", "the"];
const PLACE_WORDS: &[&str] = &["House", "Museum", "Festival", "Street", "Park", "Award", "Prize", "University", "Society", "Symphony", "Foundation", "Hall", "Monument", "Day", "Army"];

/// The names a page gives the character.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// As the caller wrote it.
    pub character: String,
    /// Names to be read as the character, the longest first.
    aliases: Vec<Vec<String>>,
    n_words: usize,
    /// What the page or the name tells about the pronoun.
    pub gender: Option<Gender>,
}

impl Names {
    /// The names known from the character's name alone.
    pub(super) fn new(character: &str) -> Self {
        let words = words_of(character);
        let gender = words.iter().find_map(|word| Gender::of_word(&word.to_lowercase()));
        let n_words = words.len();
        let aliases = if words.is_empty() { Vec::new() } else { vec![words] };
        Self { character: character.trim().to_owned(), aliases, n_words, gender }
    }

    /// Adds another name for the character.
    pub(super) fn add(&mut self, alias: &str) {
        let words = words_of(alias);
        if !words.is_empty() && !self.aliases.contains(&words) {
            self.aliases.push(words);
            self.aliases.sort_by_key(|alias| std::cmp::Reverse(alias.len()));
        }
    }

    /// How many tokens at `at` name the character.
    fn length_at(&self, tokens: &[Token], at: usize) -> Option<usize> {
        self.aliases.iter().map(Vec::as_slice).find(|alias| matches_at(tokens, at, alias)).map(<[String]>::len)
    }

    /// The tokens of a text, each mention of the character by name being one marked token.
    pub(super) fn tag_names(&self, text: &str) -> Vec<Token> {
        self.collapse(expand(tokenize(text)))
    }

    fn collapse(&self, tokens: Vec<Token>) -> Vec<Token> {
        let mut collapsed: Vec<Token> = Vec::with_capacity(tokens.len());
        let mut at = 0;
        while at < tokens.len() {
            let Some(mut length) = self.length_at(&tokens, at) else {
                collapsed.push(tokens[at].clone());
                at += 1;
                continue;
            };
            let opening = opening_names(&collapsed, &tokens[at]);
            while opening_expands(&collapsed, opening) && extends_name(&tokens, at + length) && length < 4 {
                length += 1;
            }
            let longer = length > self.n_words && collapsed.iter().any(|token| token.me);
            let someone_else = longer || opening.is_none() && is_someone_else(&collapsed);
            let mut name = Token { me: !someone_else, ..tokens[at].clone() };
            if let Some(start) = opening {
                name.space = collapsed.get(start).is_some_and(|token| token.space);
                collapsed.truncate(start);
            }
            if someone_else {
                collapsed.extend_from_slice(&tokens[at..at + length]);
            } else {
                name.set(&self.character);
                collapsed.push(name);
            }
            at += length;
        }
        collapsed
    }

    /// The tokens of a text, with every name and pronoun that means the character marked.
    pub(super) fn tag(&self, text: &str) -> Vec<Token> {
        let mut tokens = self.tag_names(text);
        if let Some(gender) = self.gender.or_else(|| guess_gender(&tokens)) {
            mark_pronouns(&mut tokens, gender);
        }
        tokens
    }
}

fn words_of(name: &str) -> Vec<String> {
    tokenize(name).into_iter().map(|token| token.text).collect()
}

fn matches_at(tokens: &[Token], at: usize, alias: &[String]) -> bool {
    tokens.len() >= at + alias.len() && alias.iter().zip(&tokens[at..]).all(|(word, token)| *word == token.text || (at == 0 && word.to_lowercase() == token.lower))
}

/// Where given names before the name begin, when they open the sentence: `Ludwig van` before `Beethoven`.
fn opening_names(before: &[Token], name: &Token) -> Option<usize> {
    if before.is_empty() {
        return Some(0);
    }
    let is_name = |token: &Token| token.is_word() && (token.is_capital() && !is_function_word(&token.lower) || PARTICLES[..12].contains(&token.lower.as_str()));
    let fits = before.len() <= 4 && before.iter().all(is_name) && before[0].is_capital() && name.is_capital();
    (fits && !is_title(&before[0].lower)).then_some(0)
}

/// A word that may open a sentence without being a name.
fn is_function_word(lower: &str) -> bool {
    clause::is_intro_word(lower) || clause::is_determiner(lower) || verbs::is_adverb(lower) || verbs::known(lower).is_some() || super::tokens::is_stop(lower) || super::lexicon::ADJECTIVES.split_whitespace().any(|word| word == lower)
}

fn opening_expands(before: &[Token], opening: Option<usize>) -> bool {
    before.is_empty() && opening.is_some()
}

fn extends_name(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| {
        token.is_word() && token.space && token.is_capital() && !PLACE_WORDS.contains(&token.text.as_str()) && !is_function_word(&token.lower) && !token.is("i")
    })
}

fn is_title(lower: &str) -> bool {
    matches!(lower, "mrs." | "miss" | "madam" | "lady" | "frau")
}

/// Whether the words before a name make it the name of someone or something else.
fn is_someone_else(before: &[Token]) -> bool {
    let Some(last) = before.last() else { return false };
    let opens = before.len() == 1;
    let named = last.is_capital() && last.is_word() && !(opens && is_function_word(&last.lower)) && !last.is("i") && !last.me && !matches!(last.lower.as_str(), "mr." | "dr." | "professor" | "young");
    let after_name = last.is_any(&["named", "called"]) || (last.is("is") && before.len() > 1 && before[before.len() - 2].is("name"));
    after_name || named && !is_function_word(&last.lower) || PARTICLES.contains(&last.lower.as_str()) && !last.is("of") || last.is_any(&["a", "an", "another"]) || is_title(&last.lower)
}

/// Whether the words name a person.
pub(super) fn person_gender(tokens: &[Token]) -> Option<Option<Gender>> {
    let head = tokens.iter().position(|token| super::clause::is_preposition(&token.lower)).unwrap_or(tokens.len());
    let noun_phrase = &tokens[..head.max(1).min(tokens.len())];
    let last_genitive = noun_phrase.iter().rposition(Token::is_genitive).map_or(0, |idx| idx + 1);
    let noun_phrase = &noun_phrase[last_genitive.min(noun_phrase.len())..];
    if let Some(gender) = noun_phrase.iter().filter(|token| !token.me).find_map(|token| Gender::of_word(&token.lower)) {
        return Some(Some(gender));
    }
    let singular = |word: &str| word.strip_suffix('s').unwrap_or(word).to_owned();
    let is_person = |token: &Token| PEOPLE_SET.contains(token.lower.as_str()) || PEOPLE_SET.contains(singular(&token.lower).as_str()) || JOB_SET.contains(singular(&token.lower).as_str());
    let last_word = noun_phrase.iter().rev().find(|token| token.is_word());
    if last_word.is_some_and(is_person) {
        return Some(None);
    }
    let named = noun_phrase.first().is_some_and(|token| token.is_capital() && !clause::is_determiner(&token.lower) && !token.me);
    (named && noun_phrase.iter().all(|token| token.is_capital() || PARTICLES.contains(&token.lower.as_str()) || token.is("and") || token.is(","))).then_some(None)
}

/// Whether the word is a person or a plural of persons.
pub(super) fn is_person_word(lower: &str) -> bool {
    let singular = lower.strip_suffix('s').unwrap_or(lower);
    [lower, singular].iter().any(|word| PEOPLE_SET.contains(word) || JOB_SET.contains(word) || Gender::of_word(word).is_some())
}

/// Whether the word is a job.
pub(super) fn is_job(lower: &str) -> bool {
    JOB_SET.contains(lower)
}

/// The first third-person pronoun after the character's name.
fn guess_gender(tokens: &[Token]) -> Option<Gender> {
    let first = tokens.iter().position(|token| token.me)?;
    let subject = clause::parse(tokens).is_some_and(|clause| clause.kind == Subject::Me);
    let mut found = None;
    for (idx, token) in tokens.iter().enumerate() {
        let Some(gender) = Gender::of_pronoun(&token.lower) else { continue };
        let object = token.is("him") || token.is("them") || (token.is("her") && !is_possessive(tokens, idx));
        if (object && subject && idx > first && idx < first + 5) || (gender == Gender::They && has_plural_people(&tokens[..idx])) {
            continue;
        }
        if gender != Gender::They {
            return Some(gender);
        }
        found = found.or(Some(gender));
    }
    found
}

fn has_plural_people(tokens: &[Token]) -> bool {
    let coordinated = tokens.windows(3).any(|three| three[1].is("and") && three[2].is_capital() && three[0].is_capital());
    coordinated || tokens.iter().any(|token| clause::is_plural(&token.lower) && (is_person_word(&token.lower) || token.is_any(&["others", "animals", "pets", "dogs", "cats"])))
}

/// Whether `her` at this place is `her book` and not `sees her`.
pub(super) fn is_possessive(tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    match token.lower.as_str() {
        "his" | "their" | "my" | "your" | "its" | "our" => true,
        "her" if causes(tokens, at) || describes(tokens, at) => false,
        "her" => tokens.get(at + 1).is_some_and(|next| {
            next.is_word()
                && !clause::is_determiner(&next.lower)
                && !clause::is_preposition(&next.lower)
                && !verbs::is_auxiliary(&next.lower)
                && !next.is_any(&["and", "or", "but", "to", "because", "when", "while", "if", "that", "who", "which", "he", "she", "they", "it", "i", "you", "not", "so", "again", "too", "there", "here", "once", "also", "never", "always", "as", "enough"])
                && !(verbs::is_adverb(&next.lower) && !tokens.get(at + 2).is_some_and(|after| after.is_word() && !clause::is_preposition(&after.lower)))
        }) || tokens.get(at + 1).is_some_and(|next| next.is_any(&["first", "second", "own", "next", "last", "two", "three", "much", "most", "many", "few", "third", "other"])),
        _ => false,
    }
}

/// Whether the words are `helps her gather`, `lets her go`.
fn causes(tokens: &[Token], at: usize) -> bool {
    let verb = at.checked_sub(1).and_then(|before| verbs::known_base(&tokens[before].lower));
    verb.is_some_and(|verb| ["help", "let", "make", "watch", "see", "hear"].contains(&verb))
        && tokens.get(at + 1).is_some_and(|next| verbs::is_base(&next.lower))
        && tokens.get(at + 2).is_some_and(|after| after.is_word() && !verbs::is_auxiliary(&after.lower))
}

/// Whether the words are `consider her arrogant`.
fn describes(tokens: &[Token], at: usize) -> bool {
    let adjective = tokens.get(at + 1).is_some_and(|next| clause::is_adjective(&next.lower));
    let judged = at > 0 && verbs::known_base(&tokens[at - 1].lower).is_some_and(|verb| matches!(verb, "consider" | "find" | "call" | "think" | "make")) && tokens.get(at + 2).is_none_or(|after| after.is_any(&[",", "."]));
    judged && tokens.get(at + 1).is_some_and(|next| !clause::is_plural(&next.lower)) || adjective && tokens.get(at + 2).is_none_or(|after| !after.is_word() || clause::is_preposition(&after.lower))
}

/// Marks the pronouns of a sentence that mean the character named in it.
pub(super) fn mark_pronouns(tokens: &mut [Token], gender: Gender) {
    if let Some(clause) = clause::parse(tokens) {
        let first = &tokens[clause.start];
        let own = first.is(gender.forms()[0]) || (Gender::of_pronoun(&first.lower) == Some(gender) && is_possessive(tokens, clause.start));
        tokens[clause.start].me |= own;
    }
    let rival_from = clause::parse(tokens).and_then(|clause| {
        let subject = &tokens[clause.start..clause.subject_end];
        let rival = match clause.kind {
            Subject::Me | Subject::WithMe => false,
            Subject::Mine => person_gender(&subject[1.min(subject.len())..]).is_some_and(|who| rivals(who, gender)),
            Subject::Other => person_gender(subject).is_some_and(|who| rivals(who, gender)),
        };
        rival.then_some(clause.verb)
    });
    let plural_before: Vec<bool> = (0..tokens.len()).map(|idx| gender == Gender::They && has_plural_people(&tokens[..idx])).collect();
    let mut who_clause = false;
    let mut rival_from = rival_from;
    for idx in 0..tokens.len() {
        if idx > 0 && tokens[idx - 1].me && (rival_from.is_some_and(|verb| idx - 1 > verb)) && !is_possessive(tokens, idx - 1) && !tokens[idx].is_genitive() {
            rival_from = None;
        }
        if idx > 0 && who_clause && tokens[idx - 1].me {
            who_clause = false;
        }
        if tokens[idx].is_any(&["who", "whose"]) && idx > 0 {
            let antecedent = tokens[..idx].iter().rev().find(|token| token.is_word());
            who_clause = antecedent.is_some_and(|token| !token.me && Gender::of_word(&token.lower).is_none_or(|other| other == gender));
        } else if who_clause && (tokens[idx].is(";") || tokens[idx].me) {
            who_clause = false;
        }
        if tokens[idx].me || Gender::of_pronoun(&tokens[idx].lower) != Some(gender) || plural_before[idx] {
            continue;
        }
        let [nominative, accusative, ..] = gender.forms();
        let object = tokens[idx].is(accusative) && !is_possessive(tokens, idx);
        let rivalled = rival_from.is_some_and(|verb| idx > verb);
        let reflexive = tokens[idx].lower.ends_with("sel") || tokens[idx].lower.ends_with("self") || tokens[idx].lower.ends_with("selves");
        tokens[idx].me = match () {
            () if rivalled => object && !reflexive,
            () if who_clause => object,
            () if object => !is_object_of_me(tokens, idx),
            () => tokens[idx].is(nominative) || is_possessive(tokens, idx) || reflexive || tokens[idx].is(gender.forms()[3]),
        };
    }
}

fn rivals(who: Option<Gender>, gender: Gender) -> bool {
    who.is_none_or(|who| who == gender) || gender == Gender::They
}

/// A plain object in the clause whose subject is the character means someone else.
fn is_object_of_me(tokens: &[Token], at: usize) -> bool {
    let verb = match at.checked_sub(1) {
        Some(before) if clause::is_finite_after_me(tokens, before) => before,
        Some(before) if before >= 2 && tokens[before - 1].is("to") && verbs::is_base(&tokens[before].lower) => before - 2,
        Some(before) if before >= 1 && clause::is_preposition(&tokens[before].lower) && clause::is_finite_after_me(tokens, before - 1) => {
            if tokens[before].is_any(&["around", "with", "behind", "about", "beside", "before", "near"]) { return false } else { before - 1 }
        }
        _ => return false,
    };
    let subject = tokens[..verb].iter().rev().find(|token| !verbs::is_adverb(&token.lower));
    subject.is_some_and(|subject| subject.me)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(character: &str, text: &str) -> Vec<String> {
        Names::new(character).tag(text).into_iter().filter(|token| token.me).map(|token| token.text).collect()
    }

    #[test]
    fn pronouns_of_the_character_are_marked() {
        assert_eq!(marked("Alice", "Alice washes herself and her dog."), ["Alice", "herself", "her"]);
        assert_eq!(marked("Alice", "Alice met Bob when he was ill."), ["Alice"]);
        assert_eq!(marked("Beethoven", "Beethoven began to visit her."), ["Beethoven"]);
    }

    #[test]
    fn relatives_keep_their_pronouns() {
        assert_eq!(marked("Alice", "Alice's mother is a nurse and she works at night."), ["Alice"]);
        assert_eq!(marked("Alice", "Alice's mother loves her."), ["Alice", "her"]);
        assert_eq!(marked("Beethoven", "Johann van Beethoven was a tenor in Bonn."), ["Beethoven"]);
        assert_eq!(marked("Beethoven", "His father was Johann van Beethoven."), Vec::<String>::new());
    }

    #[test]
    fn full_names_are_one_mention() {
        assert_eq!(marked("Hermione", "Hermione Granger is a witch."), ["Hermione"]);
        assert_eq!(marked("Beethoven", "Ludwig van Beethoven was a composer."), ["Beethoven"]);
    }
}

//! Long sentences in parts: split at clauses, without connectives.

use super::context::lacks_antecedent;
use crate::tiny::english::clause;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon::is_listed;
use crate::tiny::english::words::people::Gender;
use crate::tiny::english::words::tokens::{Token, join, n_words};
use crate::tiny::english::words::verbs;

const LONG: usize = 30;

/// Takes `However,`, `In addition,` and the like from the front.
pub(crate) fn strip_connective(mut tokens: Vec<Token>) -> Vec<Token> {
    const WITH_COMMA: &str = "however, also, additionally, furthermore, moreover, thus, therefore, consequently, nevertheless, nonetheless, \
        meanwhile, besides, similarly, likewise, indeed, finally, instead, still, then, overall, hence, accordingly, in \
        addition, as a result, for example, for instance, in fact, of course, on the other hand, in contrast, at the same \
        time, as such, despite this, in turn, because of this, in the event, in particular, even so, after that, after \
        this, by contrast, by then, during this time, at this time, surprisingly, unfortunately, interestingly, notably, \
        in other words, to this end, for this reason, in this way, that said, despite this failure, in the same year, yet";
    const BARE: &[&str] = &["but", "and", "so", "yet", "thus", "also", "or", "hence"];
    loop {
        let comma = tokens.iter().take(6).position(|token| token.is(","));
        let opening = comma.map(|comma| join(&tokens[..comma]).to_lowercase());
        let n_drop = if opening.is_some_and(|opening| is_listed(WITH_COMMA, &opening)) {
            comma.map_or(0, |comma| comma + 1)
        } else if tokens.first().is_some_and(|first| {
            first.is_any(BARE) && !opens_with_measure(&tokens)
                || !first.is_word() && !first.is("\"")
                || first.is("then") && tokens.len() > 1 && !tokens[1].is(",")
                || first.is("there") && tokens.len() > 1 && is_subject(&tokens[1])
        }) {
            1
        } else {
            break;
        };
        tokens.drain(..n_drop);
        if tokens.is_empty() {
            break;
        }
    }
    tokens
}

/// Whether `So far she has saved ten` begins with how far.
fn opens_with_measure(tokens: &[Token]) -> bool {
    const MEASURES: [&str; 5] = ["far", "long", "much", "many", "often"];
    tokens[0].is("so") && tokens.get(1).is_some_and(|next| next.is_any(&MEASURES))
}

/// Whether `There she met him` goes on with who it was; not `There is …`.
fn is_subject(token: &Token) -> bool {
    token.me || token.is_any(&["he", "she", "they"])
}

/// Splits a compound sentence at semicolons and before `and she …`, `but she …`.
///
/// A part that says something only with what stands before it is not parted from it; pronouns of `gender` are the character's.
pub(crate) fn split(tokens: &[Token], gender: Option<Gender>) -> Vec<Vec<Token>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let total = n_words(tokens);
    for at in 0..tokens.len() {
        if at < start {
            continue;
        }
        let conjunction = tokens[at].is(",")
            && total > 12
            && tokens.get(at + 1).is_some_and(|next| {
                next.is_any(&["and", "but", "so", "yet", "while", "whereas", "although"])
            });
        let plain = total > LONG
            && tokens[at].is_any(&["and", "but"])
            && tokens
                .get(at + 1)
                .is_some_and(|next| next.is_any(&["he", "she"]));
        let ends =
            tokens[at].is(";") || (tokens[at].is_any(&[":", "–"]) && is_whole(&tokens[at + 1..]));
        let next = if ends {
            at + 1
        } else if conjunction {
            at + 2
        } else if plain {
            at + 1
        } else {
            continue;
        };
        if at > start + 2 && tokens[at - 1].is_capital() && tokens[at - 2].is(",") {
            continue;
        }
        let (left, right) = (&tokens[start..at], &tokens[next.min(tokens.len())..]);
        if n_words(left) >= 4
            && n_words(right) >= 3
            && is_whole(left)
            && !refers_back(right, gender)
            && (tokens[at].is(";") || !lists_clauses(left))
            && (tokens[at].is_any(&[";", ":", "–"]) || (opens_clause(right) && is_whole(right)))
        {
            parts.push(left.to_vec());
            start = next;
        }
    }
    parts.push(tokens[start..].to_vec());
    parts
}

/// Whether words say something only with what stands before them: `so does she`, `but he does not`, `she sails it`, `she met him there`.
fn refers_back(tokens: &[Token], gender: Option<Gender>) -> bool {
    const BACK: &str = "it its there so neither nor both either this these those one ones another others latter former else";
    let end = tokens.iter().position(|token| token.is(";"));
    let tokens = &tokens[..end.unwrap_or(tokens.len())];
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_word()).collect();
    let points = words.iter().enumerate().any(|(at, token)| {
        let next = words.get(at + 1);
        // `so tall`, `this year`, `there is`, `one sister`
        let is_own = next.is_some_and(|next| match token.lower.as_str() {
            "there" => verbs::is_be(&next.lower),
            "so" | "both" | "either" | "neither" | "nor" => !verbs::is_auxiliary(&next.lower),
            "one" | "another" | "this" | "these" | "those" => {
                !verbs::is_auxiliary(&next.lower) && !next.is_any(&["and", "of", "or"])
            }
            "it" => next.is_in("rains rained snows snowed thunders thundered"),
            "its" | "ones" | "others" | "latter" | "former" => false,
            _ => true,
        });
        token.is_in(BACK) && !is_own
    });
    // `and she does, too`
    let last = words
        .iter()
        .rfind(|token| !token.is_any(&["not", "too", "either", "still"]));
    let is_bare = last.is_some_and(|last| verbs::is_auxiliary(&last.lower) && !last.is("can"));
    points || is_bare || lacks_antecedent(tokens, gender)
}

/// Whether the words begin with a subject which is not the end of a list.
fn opens_clause(tokens: &[Token]) -> bool {
    let Some(first) = tokens.first() else {
        return false;
    };
    first.is_any(&["he", "she", "they", "it"])
        || first.me
        || ((grammar::is_determiner(&first.lower) || first.is_capital())
            && clause::parse(&tokens[..tokens.len().min(9)])
                .is_some_and(|clause| clause.start == 0))
}

/// Whether commas alone stand between clauses, so that the last belongs to them: `she reads, she writes`.
fn lists_clauses(tokens: &[Token]) -> bool {
    (1..tokens.len()).any(|at| tokens[at - 1].is(",") && opens_clause(&tokens[at..]))
}

fn is_whole(tokens: &[Token]) -> bool {
    !tokens.first().is_some_and(|first| {
        grammar::is_subordinator(&first.lower) && !tokens.iter().any(|token| token.is(","))
    }) && clause::parse(tokens).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_sentences_are_split_where_a_clause_begins() {
        let tokens = crate::tiny::english::clause::names::Names::new("Alice").tag("Alice was born in the old town of Bonn in 1984, and she moved to Paris with her two sisters; Bob stayed at home.");
        let parts: Vec<String> = split(&tokens, Some(Gender::She))
            .iter()
            .map(|part| join(part))
            .collect();
        assert_eq!(
            parts,
            [
                "Alice was born in the old town of Bonn in 1984",
                "she moved to Paris with her two sisters",
                "Bob stayed at home."
            ]
        );
    }

    #[test]
    fn connectives_are_dropped() {
        let tokens =
            crate::tiny::english::words::tokens::tokenize("However, in addition, Alice sings.");
        assert_eq!(join(&strip_connective(tokens)), "Alice sings.");
    }

    #[test]
    fn a_part_that_refers_back_stays_where_it_is() {
        for sentence in [
            "Alice hates the cold wind of the north with all her heart, and so does her sister.",
            "Tom has never eaten a raw oyster in his whole life, but Alice has.",
            "Alice bought an old boat from a fisherman in Cork, and she sails it every day.",
            "Alice moved to the old town of Bonn in May, and she met Tom there.",
            "Alice inherited an old house from her uncle in Cork, and she rents its rooms out.",
            "Alice asked her brother Tom for help with the roof, but he was ill.",
        ] {
            let tokens = crate::tiny::english::clause::names::Names::new("Alice").tag(sentence);
            let parts = split(&tokens, Some(Gender::She));
            assert_eq!(parts.len(), 1, "{sentence}");
        }
    }
}

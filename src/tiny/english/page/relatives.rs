//! Fields about a relative below the relative's name: "Husband: Tom", then "Age: 44" on a page that told the character's own age
//! before.

use std::collections::BTreeSet;

use crate::pattern::pattern;
use crate::tiny::english::words::lexicon::is_listed;

pattern!(
    FIELD,
    r"^([ \t]*(?:[-*•+][ \t]+)?(?:\*\*|__)?)([A-Z][A-Za-z -]{1,24}?)((?:\*\*|__)?:(?:\*\*|__)?[ \t]+\S.*)$"
);

/// Fields that name a relative.
const RELATIVES: &str = "husband, wife, spouse, partner, fiancé, fiancée, boyfriend, girlfriend, mother, father, mum, mom, dad, sister, \
    brother, twin, son, daughter, aunt, uncle, cousin, niece, nephew, grandmother, grandfather, best friend";
/// Fields of which everybody has one.
const OF_ONE: &str = "age, born, birthday, birth date, date of birth, birthplace, job, occupation, profession, height, weight, hair, eyes, \
    gender, sex, species, race, nationality, full name";

/// Says of such fields whose they are: "Husband's age: 44". Where the character's own come later or not at all, they stay.
pub(super) fn of_relatives(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let key = |line: &str| FIELD.captures(line).map(|found| found[2].to_lowercase());
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut rest = &lines[..];
    while let [line, below @ ..] = rest {
        out.push(line.to_string());
        rest = below;
        let Some(relative) = key(line).filter(|key| is_listed(RELATIVES, key)) else {
            told.extend(key(line));
            continue;
        };
        let keys: Vec<String> = below
            .iter()
            .map_while(|line| key(line).filter(|key| is_listed(OF_ONE, key)))
            .collect();
        let is_told_again = keys.iter().any(|key| told.contains(key));
        let (of_run, after) = below.split_at(keys.len());
        rest = after;
        let capital = relative[..1].to_uppercase() + &relative[1..];
        for (line, key) in of_run.iter().zip(keys) {
            out.push(match is_told_again {
                true => FIELD
                    .replace(line, format!("${{1}}{capital}'s {key}${{3}}"))
                    .into_owned(),
                false => line.to_string(),
            });
            if !is_told_again {
                told.insert(key);
            }
        }
    }
    let end = if page.ends_with('\n') { "\n" } else { "" };
    out.join("\n") + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_told_before_is_the_relatives_below_his_name() {
        let page = "Age: 31\nHusband: Tom\n- **Age:** 44\nJob: plumber\nLikes: figs\n\nSister: Ada\nHeight: 170 cm\n";
        let expected = "Age: 31\nHusband: Tom\n- **Husband's age:** 44\nHusband's job: plumber\nLikes: figs\n\nSister: Ada\n\
                        Height: 170 cm\n";
        assert_eq!(of_relatives(page), expected);
    }

    #[test]
    fn a_field_that_comes_once_is_the_characters() {
        for page in [
            "Name: Cora\nHusband: Tom\nAge: 31\nJob: vet",
            "Age: 31\nHusband: Tom\n\nAge: about thirty",
            "Age: 31\nHusband: Tom\nLikes: figs\nAge: 44",
        ] {
            assert_eq!(of_relatives(page), page);
        }
    }
}

//! What is bent into a statement, and what is kept because bending it would not be safe.

use super::statements::statements;
use super::tests::{check, check_after_prose};

#[test]
fn each_verb_of_the_first_person_agrees_or_the_sentence_is_kept() {
    check(
        "Bridie",
        "I dye my hair red. I go to Mass on Sundays and play poker. I make a pie and burn everything else. \
         I want to learn Spanish and move to Cadiz. My friend Dot works here, and on Wednesdays we go bowling. I quit the choir. \
         I don't drink, not since 1911, when I set fire to a curtain. I set the table. \
         Short, 5 foot 1 and I sit on a cushion. I bought a ring, it's hidden in a tank. I'm going to melt it down and begin again. \
         Mum I see on Sundays. So far I have saved ten pounds. \
         Mum's well in Ghent and sends me a clock every year and I've got nineteen. My big sister Ann and I share a flat. \
         My dog's dead and I'm sad. I hate rain, snow and I hate fog. Me, I'm a morning person. I'd two sons. I'd better go. \
         I don't drink, haven't for years. I'm not clever, I don't think. Tom and I are divorced. Scatter my ashes at sea. People tell me I look well.",
        &[
            "Bridie dyes their hair red.",
            "Bridie goes to Mass on Sundays and plays poker.",
            "Bridie makes a pie and burns everything else.",
            "Bridie – I want to learn Spanish and move to Cadiz.",
            "Bridie – My friend Dot works here, and on Wednesdays we go bowling.",
            "Bridie – I quit the choir.",
            "Bridie – I don't drink, not since 1911, when I set fire to a curtain.",
            "Bridie sets the table.",
            "Short, 5 foot 1 and Bridie sits on a cushion.",
            "Bridie bought a ring, it is hidden in a tank.",
            "Bridie – I'm going to melt it down and begin again.",
            "Bridie – Mum I see on Sundays.",
            "So far Bridie has saved ten pounds.",
            "Bridie – Mum's well in Ghent and sends me a clock every year and I've got nineteen.",
            "Bridie's big sister Ann and Bridie share a flat.",
            "Bridie – My dog's dead and I'm sad.",
            "Bridie – I hate rain, snow and I hate fog.",
            "Bridie – Me, I'm a morning person.",
            "Bridie – I'd two sons.",
            "Bridie – I'd better go.",
            "Bridie – I don't drink, haven't for years.",
            "Bridie – I'm not clever, I don't think.",
            "Tom and Bridie are divorced.",
            "Bridie – Scatter my ashes at sea.",
            "Bridie – People tell me I look well.",
        ],
        &[],
    );
    check(
        "Gustav",
        "My name is Gustav, I'm forty-seven, and I drive a lorry. Good day, I am Gustav, a driver. \
         I never shout at the pupils, and I repair their bicycles for nothing.",
        &[
            "Gustav is forty-seven, and he drives a lorry.",
            "Gustav – Good day, I am Gustav, a driver.",
            "Gustav never shouts at the pupils, and he repairs their bicycles for nothing.",
        ],
        &[],
    );
}

#[test]
fn what_somebody_else_is_or_says_is_not_said_of_the_character() {
    check(
        "Mara",
        "Mara is tall.\n\nAna: she is a nurse\n\nThe user likes rain. She is bold.\n\nMara's hat is red. It's painted.",
        &[
            "Mara is tall.",
            "Mara – Ana: she is a nurse.",
            "Mara – The user likes rain.",
            "Mara – She is bold.",
            "Mara's hat is red.",
            "Mara – It's painted.",
        ],
        &[],
    );
    check(
        "Mara",
        "I like rain. Ana told me: I am a fool. I smoke ☑ no ☐ yes.",
        &[
            "Mara likes rain.",
            "Mara – Ana told me: I am a fool.",
            "Mara – I smoke ☑ no ☐ yes.",
        ],
        &[],
    );
}

#[test]
fn a_name_that_is_said_of_itself_is_left_out() {
    check(
        "Isa Thorn",
        "Isa Thorn is Isa Thorn, a baker who works at night.",
        &["Isa Thorn is a baker who works at night."],
        &[],
    );
}

#[test]
fn a_name_behind_i_am_goes_only_where_a_sentence_is_left() {
    check(
        "Ximena",
        "I'm Ximena Cruz, but on the track I'm \"Mayhem\" and my mum calls me Xime. I'm Ximena, a jammer. \
         I'm Ximena, who you met. I'm Ximena, everyone calls me Xi.",
        &[
            "Ximena's full name is Ximena Cruz.",
            "Ximena – I'm Ximena Cruz, but on the track I'm \"Mayhem\" and my mum calls me Xime.",
            "Ximena is a jammer.",
            "Ximena – I'm Ximena, who you met.",
            "Ximena – I'm Ximena, everyone calls me Xi.",
        ],
        &[],
    );
}

#[test]
fn fields_of_the_character_in_a_line_are_told_apart_and_what_belongs_together_stays() {
    check(
        "Kass",
        "Likes: tea, rain. Dislikes: fog, ham. Fears: bees. Age: 34.\n- **Hobbies:** chess. **Allergies:** nuts.\nMother: Ann. Age: 50.\nHair: red. Fiancé: Tom. Age: 40. Job: vet.\nEyes: blue. Daughter: Eve. Age: 12.\nHeight: ~~tall. Age: 9~~ short\n\"Stop.\"\n-- Kass is a cook.\nWeapon: Nine knives, all with a name\nLoves: Corrin's rolls\n\
         \n> \"I ask. She comes.\"\n> -- Kass, at the feast",
        &[
            "Kass likes tea and rain.",
            "Kass dislikes fog and ham.",
            "Kass fears bees.",
            "Kass is 34 years old.",
            "Kass' hobby is chess.",
            "Kass is allergic to nuts.",
            "Kass' mother is Ann.",
            "Kass – Mother: Age: 50.",
            "Kass has red hair.",
            "Kass – Fiancé: Tom.",
            "Kass – Fiancé: Age: 40.",
            "Kass – Fiancé: Job: vet.",
            "Kass has blue eyes.",
            "Kass' daughter is Eve.",
            "Kass – Daughter: Age: 12.",
            "Kass – Height: short.",
            "Kass – \"Stop.\"",
            "Kass is a cook.",
            "Kass' weapon is nine knives, all with a name.",
            "Kass loves Corrin's rolls.",
            "\"I ask. She comes.\" – Kass, at the feast.",
        ],
        &["~~tall. Age: 9~~"],
    );
}

#[test]
fn a_line_without_a_subject_gets_the_name_in_front() {
    check_after_prose(
        "About Alice\n- plays chess for a club and can hold her breath\n- bites her nails and is always losing her keys\n\
         - can't ride a bike\n- lost her father when she was twelve\n- never haggles over a price\n- trims her own hair\n- songs the sailors sing\n- burnt toast, although she is hungry\n\
         - left school early\n- bowls slow spin, although she broke her thumb\n- born in a village; her mother sends her jars",
        &[
            "Alice plays chess for a club and can hold her breath.",
            "Alice bites her nails and is always losing her keys.",
            "Alice cannot ride a bike.",
            "Alice lost her father when she was twelve.",
            "Alice never haggles over a price.",
            "Alice trims her own hair.",
            "Alice – songs the sailors sing.",
            "Alice – burnt toast, although she is hungry.",
            "Alice – left school early.",
            "Alice – bowls slow spin, although she broke her thumb.",
            "Alice was born in a village.",
            "Alice's mother sends her jars.",
        ],
        &[],
    );
}

#[test]
fn only_a_field_that_names_something_gets_a_verb() {
    check_after_prose(
        "Trade: pilots a sky ferry\nBreakfast: hot cider; elvish wine makes her sick\nSkills: carves whistles out of bone\n\
         Work: Trained under her aunt\nFamily: mother lost when Alice was seven\nTuesdays: Dances tango\nAccounts: In pencil, in a ledger\n\
         Children: Four; they do not want the firm\nLast wish: Her ashes scattered at sea\nEducation: Left school at fifteen\n\
         Has never: sent an email; missed a meeting\nRival: her neighbour; they have a feud\nFear: the dark\nMother: She is a nurse.\nWishes: she had a dog\nAge: 112, looks about 40",
        &[
            "Alice pilots a sky ferry.",
            "Alice's breakfast is hot cider.",
            "Elvish wine makes Alice sick.",
            "Alice carves whistles out of bone.",
            "Alice – Work: Trained under her aunt.",
            "Alice – Family: mother lost when Alice was seven.",
            "Alice – Tuesdays: Dances tango.",
            "Alice – Accounts: In pencil, in a ledger.",
            "Alice has four children.",
            "Alice – Children: they do not want the firm.",
            "Alice – Last wish: Her ashes scattered at sea.",
            "Alice – Education: Left school at fifteen.",
            "Alice – Has never: sent an email; missed a meeting.",
            "Alice's rival is her neighbour.",
            "Alice – Rival: they have a feud.",
            "Alice is afraid of the dark.",
            "Alice – Mother: She is a nurse.",
            "Alice – Wishes: she had a dog.",
            "Alice – Age: 112, looks about 40.",
        ],
        &[],
    );
}

#[test]
fn a_name_in_bold_is_that_of_a_field_without_a_colon() {
    check(
        "Nils",
        "**Name** Nils Berg\n**Age** 52\nHeight 170\nNils sings.",
        &[
            "Nils' full name is Nils Berg.",
            "Nils is 52 years old.",
            "Nils – Height 170.",
            "Nils sings.",
        ],
        &[],
    );
}

#[test]
fn a_table_of_what_is_so_and_what_is_not_is_read_cell_by_cell() {
    check_after_prose(
        "## Likes and dislikes\n\n| Yes | No |\n|---|---|\n| a raw carrot every day at ten | cappuccino, never |\n| | spiders scare her |\n\n\
         | Likes | Doesn't like |\n|---|---|\n| heights | cats |",
        &[
            "Alice – Likes and dislikes, yes: a raw carrot every day at ten.",
            "Alice – Likes and dislikes, no: cappuccino, never.",
            "Alice – Likes and dislikes, no: spiders scare her.",
            "Alice – Likes: heights.",
            "Alice – Doesn't like: cats.",
        ],
        &[],
    );
    check_after_prose(
        "| | |\n|---|---|\n| **Age** | 34 |\n| **Drives** | a dented van |\n| a bad knee | since May |",
        &[
            "Alice is 34 years old.",
            "Alice drives a dented van.",
            "Alice – a bad knee: since May.",
        ],
        &[],
    );
    check_after_prose(
        "| Day | What Alice does |\n|---|---|\n| Monday | cleans the lamp |",
        &["Alice – Day: Monday; What Alice does: cleans the lamp."],
        &[],
    );
}

#[test]
fn an_answer_that_says_nothing_alone_is_kept_with_its_question() {
    check(
        "Emrys",
        "Interviewer: Who are you?\nEmrys: I'm Emrys, and I shoe horses.\nInterviewer: Any fears?\nEmrys: Only geese.\n\
         Interviewer: What do you drink?\nEmrys: I drink cold buttermilk.",
        &[
            "Emrys – Who are you? I'm Emrys, and I shoe horses.",
            "Emrys – Any fears? Only geese.",
            "Emrys drinks cold buttermilk.",
        ],
        &["What do you drink?"],
    );
}

#[test]
fn what_a_sentence_opens_with_is_not_taken_for_its_subject() {
    check_after_prose(
        "She was the daughter of a nurse. She is tall – nearly two metres – and walks with a stick. She drinks one beer – never more. With her live a lame goose and a cat.",
        &[
            "Alice was the daughter of a nurse.",
            "Alice is tall, nearly two metres, and walks with a stick.",
            "Alice drinks one beer – never more.",
            "Alice – With her live a lame goose and a cat.",
        ],
        &[],
    );
}

#[test]
fn a_title_says_nothing_of_what_stands_below_it() {
    for (character, page) in [
        ("Zoe", "ZOË LECOQ\n\nLikes:\n- salted butter\n- moths"),
        ("Zoë", "ZOE LECOQ\n\nLikes:\n- salted butter\n- moths"),
        (
            "Zoë",
            "=== CHARACTER SHEET ===\n\nLikes: salted butter, moths",
        ),
        ("Zoë", "Profile\n\nLikes: salted butter, moths"),
        (
            "Zoë",
            "== Character sheet ==\n\n--- TASTES ---\nLikes: salted butter, moths",
        ),
    ] {
        let found = statements(character, page);
        assert!(
            found[0].starts_with(&format!("{character} likes salted butter")),
            "{page}: {found:?}"
        );
    }
}

#[test]
fn a_bullet_with_deeper_ones_below_it_is_their_heading_under_any_other() {
    let page = "## Likes and dislikes\n* **Likes**\n  * highlife music\n* **Dislikes**\n  * insurance men\n\n## Skills\n- Food\n- Music";
    assert_eq!(
        statements("Kwesi", page),
        [
            "Kwesi likes highlife music.",
            "Kwesi dislikes insurance men.",
            "Kwesi's skills are food and music.",
        ]
    );
    let page = "## Dislikes\n- Children\n  - crying babies\n- Mondays";
    assert_eq!(
        statements("Kwesi", page),
        ["Kwesi dislikes children, crying babies, and Mondays."]
    );
}

#[test]
fn with_what_a_chat_begins_is_no_fact() {
    for page in [
        "Maribel bakes.\n\nFirst message:\n*Maribel pops up.* Hi, you!\n\nLikes: figs",
        "Maribel bakes.\n\n*Maribel pops up from below.* \"You are late!\" *She grins at you.*\n\nLikes: figs",
        "Maribel bakes.\n\n\"You are late!\" *She grins at you again.*\n\nLikes: figs",
        "Maribel bakes.\n\nFirst message:\n*Maribel pops up from below.* \"You are late!\"\n\nLikes: figs",
    ] {
        assert_eq!(
            statements("Maribel", page),
            ["Maribel bakes.", "Maribel likes figs."]
        );
    }
}

#[test]
fn a_word_in_quotation_marks_leaves_an_answer_the_characters() {
    let page = "Interviewer: How old are you?\n\nThorn: Sixty. Do not write \"elderly\".\n\nInterviewer: And your name?\n\n\
        Thorn: I have hated the name \"Thorny\" since school. My sister is called Bran.";
    let found = statements("Thorn", page);
    for expected in [
        "Thorn – How old are you? Sixty.",
        "Thorn's sister is called Bran.",
    ] {
        assert!(
            found
                .iter()
                .any(|statement| statement.starts_with(expected)),
            "{found:?}"
        );
    }
    assert!(
        found.iter().any(|statement| statement.contains("Thorny")),
        "{found:?}"
    );
}

#[test]
fn titles_and_sayings_between_asterisks_and_quotation_marks_are_no_scene() {
    for line in [
        "*The Long Way Home* made Mira, called \"Red\", famous in 1999.",
        "\"Captain\" Mira Voss wrote *A History of the Sea* in 1999.",
        "\"I have never met anybody like her.\" — *Diary of Captain Bram*",
    ] {
        let found = super::statements::read("Mira", &format!("Mira sails.\n\n{line}"));
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        assert!(
            !found
                .statements
                .iter()
                .any(|statement| statement.contains("Mira has never met"))
        );
    }
}

#[test]
fn a_number_that_no_list_counts_to_is_no_bullet() {
    let page = "Goldie lives in Duluth.\n\n19. Virgo.\n\n1. Plays bass\n2. Keeps bees";
    let found = statements("Goldie", page);
    assert!(
        found.iter().any(|statement| statement.contains("19")),
        "{found:?}"
    );
    assert!(
        found.contains(&"Goldie plays bass.".to_string()),
        "{found:?}"
    );
    assert!(
        found.contains(&"Goldie keeps bees.".to_string()),
        "{found:?}"
    );
    // Lists that begin late, are nested, or have a number twice.
    for page in [
        "9. Plays bass\n10. Keeps bees",
        "1. Plays bass\n   1. badly\n   2. often\n   3. late\n2. Keeps bees",
        "1. Plays bass\n1. Likes figs\n2. Keeps bees",
        "Goldie sings.\n\n3. She keeps bees. She plays bass.",
    ] {
        let found = statements("Goldie", page);
        assert!(
            found.contains(&"Goldie keeps bees.".to_string()),
            "{found:?}"
        );
        let has_number = |statement: &String| statement.contains(char::is_numeric);
        assert!(!found.iter().any(has_number), "{found:?}");
    }
}

#[test]
fn the_character_is_whom_a_sentence_is_about_only_where_that_is_sure() {
    check_after_prose(
        "Her one fear is deep water. She'd no eye for it. She never writes because she's ashamed of it. A sailor gave her one of his maps.\n\n\
         Tom Reed is her squire. Came to rob her and stayed.",
        &[
            "Alice's one fear is deep water.",
            "Alice had no eye for it.",
            "Alice never writes because she is ashamed of it.",
            "A sailor gave Alice one of his maps.",
            "Tom Reed is Alice's squire.",
            "Alice – Came to rob her and stayed.",
        ],
        &[],
    );
}

#[test]
fn what_only_the_sense_could_tell_is_kept() {
    check(
        "Theodora Vane",
        "Theodora Vane is a pilot. She's lost. She's two sons. She's no money. She's put upon by her sisters. She's left-handed. She's \
         trained dogs. She's 24. Her husband, Mr. Vane, is bald. Theodora \"Teddy\" Vane was born in Cork.\n✗ Can drive\n✓ Can swim",
        &[
            "Theodora Vane is a pilot.",
            "Theodora Vane – She's lost.",
            "Theodora Vane – She's two sons.",
            "Theodora Vane – She's no money.",
            "Theodora Vane – She's put upon by her sisters.",
            "Theodora Vane is left-handed.",
            "Theodora Vane has trained dogs.",
            "Theodora Vane is 24.",
            "Theodora Vane's husband, Mr. Vane, is bald.",
            "Theodora Vane – Theodora \"Teddy\" Vane was born in Cork.",
            "Theodora Vane can swim.",
        ],
        &["✗ Can drive"],
    );
}

//! What may come next in a reply, by what came before.

/// The tokens of a prompt and of a reply to it, and how many to try at once.
///
/// What followed the last few tokens when they came before is tried (prompt lookup, <https://github.com/apoorvumang/prompt-lookup-decoding>):
/// replies repeat names, statements and their own turns of phrase. The more of it was right, the more is tried next.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    tokens: Vec<i32>,
    len: usize,
}

impl Draft {
    /// Most tokens that are tried.
    const MOST: usize = 15;
    /// How many tokens have to be the same, at best and at least.
    const SAME: [usize; 2] = [3, 2];

    /// Nothing is said yet behind a prompt.
    pub(super) fn behind(prompt: &[i32]) -> Self {
        Self {
            tokens: prompt.to_vec(),
            len: 3,
        }
    }

    /// The reply has a new token.
    pub(super) fn push(&mut self, token: i32) {
        self.tokens.push(token);
    }

    /// The tokens to try, at most so many.
    pub(super) fn next(&self, most: usize) -> Vec<i32> {
        let (tokens, len) = (&self.tokens, self.tokens.len());
        let behind = |same: usize| {
            let last = &tokens[len.checked_sub(same)?..];
            let mut before = tokens[..len - 1].windows(same);
            Some(before.rposition(|window| window == last)? + same)
        };
        let Some(start) = Self::SAME.into_iter().find_map(behind) else {
            return Vec::new();
        };
        // What comes again and again goes on so.
        let again = tokens[start..].iter().cycle();
        again.take(self.len.min(most)).copied().collect()
    }

    /// Of the tokens that were tried so many were right.
    pub(super) fn was_right(&mut self, right: usize, tried: usize) {
        if tried > 0 {
            self.len = if right == tried {
                (2 * tried + 1).clamp(self.len, Self::MOST)
            } else {
                right.max(1)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_last_tokens_when_they_last_came_is_tried() {
        let mut draft = Draft::behind(&[1, 2, 3, 4, 5, 6, 2, 3, 7, 8, 1]);
        assert_eq!(draft.next(9), [0; 0]);
        draft.push(2);
        assert_eq!(draft.next(9), [3, 4, 5], "behind 1 2");
        draft.push(3);
        assert_eq!(draft.next(9), [4, 5, 6], "behind 1 2 3, not behind 2 3");
        assert_eq!(draft.next(2), [4, 5]);
        assert_eq!(Draft::behind(&[7, 8, 9, 8, 9]).next(9), [8, 9, 8]);
        assert_eq!(Draft::behind(&[]).next(9), [0; 0]);
    }

    #[test]
    fn the_more_was_right_the_more_is_tried() {
        let mut draft = Draft::behind(&[1, 2, 1, 2]);
        let mut tried = |wrong: usize| {
            let len = draft.next(100).len();
            draft.was_right(len - wrong, len);
            len
        };
        assert_eq!([0, 0, 0, 10].map(&mut tried), [3, 7, 15, 15]);
        assert_eq!([5, 1, 0, 0].map(&mut tried), [5, 1, 1, 3]);
    }
}

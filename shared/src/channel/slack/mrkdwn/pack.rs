//! Blocks in posts: a block is kept whole where a post has room for it.

use super::run::{Line, escape};

/// A block's beginning or end of code.
const FENCE: &str = "```";

/// A part of a document that is kept together where it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What stands between it and the one before.
    pub(super) gap: Gap,
    pub(super) body: Body,
}

/// What stands between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// An empty line.
    Line,
    /// Nothing but a line's end.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Lines(Vec<Line>),
    /// The code, as it was written.
    Code(String),
}

/// The posts of these blocks, each at most so many characters long.
pub(super) fn posts(blocks: &[Block], most: usize) -> Vec<String> {
    let mut packer = Packer { most, posts: Vec::new(), post: String::new(), length: 0 };
    for block in blocks {
        packer.add(block);
    }
    packer.finish();
    packer.posts
}

struct Packer {
    most: usize,
    posts: Vec<String>,
    post: String,
    /// Of the post that is being written, in characters.
    length: usize,
}

impl Packer {
    fn add(&mut self, block: &Block) {
        if matches!(&block.body, Body::Code(code) if code.trim().is_empty()) {
            return;
        }
        let (rows, frame) = match &block.body {
            Body::Lines(lines) => (lines.iter().flat_map(|line| line.split(self.most)).collect::<Vec<_>>(), 0),
            Body::Code(code) => {
                let frame = 2 * (FENCE.len() + 1);
                (code_rows(code, self.most - frame), frame)
            }
        };
        let whole: usize = frame + rows.iter().map(|row| row.chars().count() + 1).sum::<usize>();
        if whole.saturating_sub(1) <= self.most && self.length + gap(block.gap).len() + whole > self.most {
            self.finish();
        }
        let mut between = gap(block.gap);
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let mut room =
                self.most.saturating_sub(self.length + frame + if self.length == 0 { 0 } else { between.len() });
            let mut taken = 0;
            for row in rest {
                let cost = row.chars().count() + usize::from(taken > 0);
                if cost > room {
                    break;
                }
                room -= cost;
                taken += 1;
            }
            let (now, later) = rest.split_at(taken);
            if !now.is_empty() {
                let text = now.join("\n");
                let text = if frame == 0 { text } else { format!("{FENCE}\n{text}\n{FENCE}") };
                self.write(between, &text);
            }
            rest = later;
            if !rest.is_empty() {
                self.finish();
            }
            between = "\n";
        }
    }

    fn write(&mut self, between: &str, text: &str) {
        if !self.post.is_empty() {
            self.post.push_str(between);
        }
        self.post.push_str(text);
        self.length = self.post.chars().count();
    }

    fn finish(&mut self) {
        let post = std::mem::take(&mut self.post);
        self.length = 0;
        let shown = post.trim_matches('\n');
        if !shown.trim().is_empty() {
            self.posts.push(shown.to_owned());
        }
    }
}

const fn gap(gap: Gap) -> &'static str {
    match gap {
        Gap::Line => "\n\n",
        Gap::None => "\n",
    }
}

/// The code's lines, each at most so many characters long, with nothing in them that would end the block.
fn code_rows(code: &str, most: usize) -> Vec<String> {
    let safe = code.replace(FENCE, "`\u{200b}`\u{200b}`");
    let mut rows = Vec::new();
    for line in safe.trim_end_matches('\n').split('\n') {
        let mut row = String::new();
        let mut length = 0;
        for letter in line.chars() {
            let escaped = escape(letter.encode_utf8(&mut [0; 4]));
            let cost = escaped.chars().count();
            if length + cost > most {
                rows.push(std::mem::take(&mut row));
                length = 0;
            }
            row.push_str(&escaped);
            length += cost;
        }
        rows.push(row);
    }
    rows
}

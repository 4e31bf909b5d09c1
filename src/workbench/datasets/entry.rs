//! One entry of a dataset: its place, its picture's facts, the ids of its captions and where they are cut.

use data::sample::Place;
use data::stats::Header;
use data::{Dataset, Tokenizer};

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: i64,
    /// What it stands for.
    pub text: String,
}

/// A caption with its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// As it is written.
    pub text: String,
    /// All of its ids, start and end included; or why it has none.
    pub tokens: Result<Vec<Token>, String>,
    /// Tokens that the model reads: what stands behind them is cut (and the last one read becomes the end).
    pub context: usize,
}

impl Caption {
    /// Makes the ids of a text.
    pub fn new(text: &str, tokenizer: &Tokenizer, context: usize) -> Self {
        let ids = tokenizer.encode_ids(text).map_err(|e| e.to_string());
        let tokens = ids.map(|ids| {
            let piece = |id: u32| Token { id: i64::from(id), text: tokenizer.decode(&[i64::from(id)]) };
            let mut tokens = vec![Token { id: tokenizer.sot(), text: "start".to_owned() }];
            tokens.extend(ids.into_iter().map(piece));
            tokens.push(Token { id: tokenizer.eot(), text: "end".to_owned() });
            tokens
        });
        Self { text: text.to_owned(), tokens, context }
    }

    /// The tokens that are lost, without the end, which always stands.
    pub fn lost(&self) -> &[Token] {
        let all = self.tokens.as_deref().unwrap_or_default();
        if all.len() <= self.context {
            return &[];
        }
        all.get(self.context.saturating_sub(1)..all.len() - 1).unwrap_or_default()
    }
}

/// What is known of an entry's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The file, or the part that it stands in.
    pub path: String,
    /// Of a picture in a part: its first byte.
    pub offset: Option<u64>,
    /// Format, width, height, bytes of the file; or what is wrong.
    pub header: Result<Header, String>,
}

impl Facts {
    /// Looks at the header of a sample's picture.
    pub fn of(dataset: &Dataset, index: usize) -> Option<Self> {
        let image = dataset.image(index)?;
        let offset = match &image.place {
            Place::Roots(_) => None,
            Place::Range { start, .. } => Some(*start),
        };
        let header = match data::stats::header(&image) {
            Ok(header) => header.ok_or_else(|| "not a picture that can be read".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err("the file is not there".to_owned())
            }
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        Some(Self { path: image.path().display().to_string(), offset, header })
    }

    /// In words.
    pub fn words(&self) -> String {
        match &self.header {
            Ok((format, width, height, bytes)) => {
                let ratio = f64::from(*width) / f64::from((*height).max(1));
                format!("{format}  {width}x{height}  {}  {ratio:.2}:1", crate::tui::format::bytes(*bytes))
            }
            Err(problem) => problem.clone(),
        }
    }
}

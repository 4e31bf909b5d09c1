//! The messages of an event file, as far as we write and read them. Names and numbers of the fields are those of TensorFlow's
//! `event.proto`, `summary.proto`, `tensor.proto` and `tensor_shape.proto`.

use prost::Message;

/// `EventMessage.file_version` of every file that TensorBoard still reads.
pub const FILE_VERSION: &str = "brain.Event:2";

/// `DataType.DT_STRING` and the types of scalars that are kept as tensors.
const DT_STRING: i32 = 7;
const DT_FLOAT: i32 = 1;
const DT_DOUBLE: i32 = 2;
const DT_INT32: i32 = 3;
const DT_INT64: i32 = 9;

/// `SessionLog.SessionStatus.START`: what was written of this step and later ones is void.
const SESSION_START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since the Unix epoch.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
    #[prost(oneof = "Content", tags = "2, 4, 8")]
    pub content: Option<Content>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Plugin {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3: RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A whole PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    /// All values, little endian.
    #[prost(bytes = "vec", tag = "4")]
    pub content: Vec<u8>,
    #[prost(float, repeated, tag = "5")]
    pub floats: Vec<f32>,
    #[prost(double, repeated, tag = "6")]
    pub doubles: Vec<f64>,
    #[prost(int32, repeated, tag = "7")]
    pub ints: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub strings: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "10")]
    pub longs: Vec<i64>,
}

impl Tensor {
    /// Its first number.
    #[allow(clippy::cast_precision_loss)]
    pub fn scalar(&self) -> Option<f64> {
        let raw = &self.content;
        match self.dtype {
            DT_FLOAT => (self.floats.first().copied())
                .or_else(|| raw.first_chunk().map(|b| f32::from_le_bytes(*b)))
                .map(f64::from),
            DT_DOUBLE => {
                self.doubles.first().copied().or_else(|| raw.first_chunk().map(|b| f64::from_le_bytes(*b)))
            }
            DT_INT32 => (self.ints.first().copied())
                .or_else(|| raw.first_chunk().map(|b| i32::from_le_bytes(*b)))
                .map(f64::from),
            DT_INT64 => (self.longs.first().copied())
                .or_else(|| raw.first_chunk().map(|b| i64::from_le_bytes(*b)))
                .map(|v| v as f64),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

impl Event {
    /// The first event of every file.
    pub fn version(wall_time: f64) -> Self {
        Self { wall_time, step: 0, what: Some(What::FileVersion(FILE_VERSION.to_owned())) }
    }

    /// Whether what was written of its step and later ones is void.
    pub fn is_restart(&self) -> bool {
        matches!(&self.what, Some(What::SessionLog(s)) if s.status == SESSION_START)
    }

    /// What is shown of `step` and later ones is void from here on.
    pub fn restart(wall_time: f64, step: i64) -> Self {
        Self { wall_time, step, what: Some(What::SessionLog(SessionLog { status: SESSION_START })) }
    }

    /// Values of one step.
    pub fn summary(wall_time: f64, step: i64, value: Vec<Value>) -> Self {
        Self { wall_time, step, what: Some(What::Summary(Summary { value })) }
    }
}

impl Value {
    /// A point of a curve. Event files hold single precision.
    #[allow(clippy::cast_possible_truncation)]
    pub fn scalar(tag: impl Into<String>, value: f64) -> Self {
        Self { tag: tag.into(), metadata: None, content: Some(Content::Scalar(value as f32)) }
    }

    /// A text; TensorBoard renders it as Markdown.
    pub fn text(tag: impl Into<String>, text: &str) -> Self {
        let shape = Shape { dim: vec![Dim { size: 1 }] };
        let tensor = Tensor {
            dtype: DT_STRING,
            shape: Some(shape),
            strings: vec![text.as_bytes().to_vec()],
            ..Tensor::default()
        };
        let plugin = Plugin { name: "text".to_owned() };
        Self {
            tag: tag.into(),
            metadata: Some(Metadata { plugin: Some(plugin) }),
            content: Some(Content::Tensor(tensor)),
        }
    }

    /// An RGB picture, `png` being the whole file.
    pub fn image(tag: impl Into<String>, (width, height): (u32, u32), png: Vec<u8>) -> Self {
        let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let image = Image { height: side(height), width: side(width), colorspace: 3, encoded: png };
        Self { tag: tag.into(), metadata: None, content: Some(Content::Image(image)) }
    }
}

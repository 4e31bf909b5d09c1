//! The stack machine: one opcode after another.

use std::collections::HashMap;
use std::ops::Range;

use super::call::{build, call, persistent};
use super::value::{Global, Id, Pickle, Value, text, value};

/// Values that a pickle may hold. A state dict with optimiser of a thousand tensors makes a hundred thousand; more
/// than this is an attack on memory (a value takes some forty bytes, an opcode one).
const MOST_VALUES: usize = 2 << 20;

/// Reads the pickle that begins at `start`.
///
/// # Errors
/// Text that says what is wrong, and at which byte.
pub fn read(bytes: &[u8], start: usize) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        bytes,
        at: start,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Pickle { bytes, values: machine.values, root, end: machine.at });
            }
            Err(why) => return Err(format!("pickle, byte {at}: {why}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Parts of what calls have made: a call copies what it is given, however large, in two bytes.
    copied: usize,
}

impl Machine<'_> {
    /// One opcode; the root where it was STOP.
    fn step(&mut self) -> Result<Option<Id>, String> {
        let [opcode] = self.array::<1>()?;
        match opcode {
            // PROTO, FRAME
            0x80 => {
                let [version] = self.array::<1>()?;
                if version > 5 {
                    return Err(format!("protocol {version} is not known"));
                }
            }
            0x95 => _ = self.array::<8>()?,
            b'.' => return self.pop().map(Some),
            // MARK, POP, POP_MARK, DUP
            b'(' => {
                self.room(self.marks.len())?;
                self.marks.push(self.stack.len());
            }
            b'0' => _ = self.pop()?,
            b'1' => _ = self.since_mark()?,
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            // Atoms.
            b'N' => self.push(Value::Nothing)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => {
                let n = self.array::<1>()?;
                self.push(Value::Int(u8::from_le_bytes(n).into()))?;
            }
            b'M' => {
                let n = self.array::<2>()?;
                self.push(Value::Int(u16::from_le_bytes(n).into()))?;
            }
            b'J' => {
                let n = self.array::<4>()?;
                self.push(Value::Int(i32::from_le_bytes(n).into()))?;
            }
            0x8a => {
                let n = self.size::<1>()?;
                self.long(n)?;
            }
            0x8b => {
                let n = self.size::<4>()?;
                self.long(n)?;
            }
            b'G' => {
                let n = self.array::<8>()?;
                self.push(Value::Float(f64::from_be_bytes(n)))?;
            }
            // Strings: SHORT_BINUNICODE, BINUNICODE, BINUNICODE8; the bytes of Python 2 and of Python 3.
            0x8c => self.string::<1>(true)?,
            b'X' => self.string::<4>(true)?,
            0x8d => self.string::<8>(true)?,
            b'U' => self.python2_string::<1>()?,
            b'T' => self.python2_string::<4>()?,
            b'C' => self.string::<1>(false)?,
            b'B' => self.string::<4>(false)?,
            0x8e => self.string::<8>(false)?,
            // Tuples, lists, dicts.
            b')' => self.push(Value::Tuple(Vec::new()))?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let parts = self.since_mark()?;
                self.push(Value::Tuple(parts))?;
            }
            b']' => self.push(Value::List(Vec::new()))?,
            b'l' => {
                let parts = self.since_mark()?;
                self.push(Value::List(parts))?;
            }
            b'a' => {
                let part = self.pop()?;
                self.append(vec![part])?;
            }
            b'e' => {
                let parts = self.since_mark()?;
                self.append(parts)?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let parts = self.since_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&parts)?;
            }
            b's' => {
                let (v, k) = (self.pop()?, self.pop()?);
                self.set(&[k, v])?;
            }
            b'u' => {
                let parts = self.since_mark()?;
                self.set(&parts)?;
            }
            // The memo.
            b'q' => {
                let n = self.size::<1>()?;
                self.remember(n)?;
            }
            b'r' => {
                let n = self.size::<4>()?;
                self.remember(n)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let n = self.size::<1>()?;
                self.recall(n)?;
            }
            b'j' => {
                let n = self.size::<4>()?;
                self.recall(n)?;
            }
            // What may be called, and calls. Nothing is called: each stands for data.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (value(&self.values, module), value(&self.values, name)) {
                    (Value::Text(module), Value::Text(name)) => {
                        self.global(&module.clone(), &name.clone())?
                    }
                    _ => return Err("a global that is not named by two strings".to_owned()),
                }
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let made = call(self.bytes, &self.values, function, arguments)?;
                self.copy(&made)?;
                self.push(made)?;
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.top()?);
                let built = build(&self.values, object, state)?;
                self.copy(built.as_ref().unwrap_or(&Value::Nothing))?;
                if let Some(built) = built
                    && let Some(slot) = self.values.get_mut(object as usize)
                {
                    *slot = built;
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let made = persistent(self.bytes, &self.values, id)?;
                self.push(made)?;
            }
            other => {
                return Err(format!(
                    "opcode {other:#04x}{} is not one that state dicts are made of: the file is refused",
                    opcode_name(other)
                ));
            }
        }
        Ok(None)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        self.at += N;
        taken.copied().ok_or_else(|| "the file ends within the pickle".to_owned())
    }

    /// An unsigned number of `N` bytes.
    fn size<const N: usize>(&mut self) -> Result<usize, String> {
        let bytes = self.array::<N>()?;
        let mut whole = [0; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        usize::try_from(u64::from_le_bytes(whole))
            .map_err(|_| "a length that is larger than can be".to_owned())
    }

    /// The next `n` bytes.
    fn span(&mut self, n: usize) -> Result<Range<usize>, String> {
        let left = self.bytes.len().saturating_sub(self.at);
        if n > left {
            return Err(format!("a length of {n} bytes, but the file ends after {left}"));
        }
        let range = self.at..self.at + n;
        self.at += n;
        Ok(range)
    }

    fn line(&mut self) -> Result<Range<usize>, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest.iter().take(1 << 10).position(|b| *b == b'\n');
        let n = n.ok_or("a name that does not end")?;
        let range = self.span(n)?;
        self.at += 1;
        Ok(range)
    }

    fn string<const N: usize>(&mut self, is_text: bool) -> Result<(), String> {
        let n = self.size::<N>()?;
        let range = self.span(n)?;
        if !is_text {
            return self.push(Value::Bytes(range));
        }
        text(self.bytes, &range).ok_or("a string that is not UTF-8")?;
        self.push(Value::Text(range))
    }

    /// Python 2's str: text where it is UTF-8.
    fn python2_string<const N: usize>(&mut self) -> Result<(), String> {
        let n = self.size::<N>()?;
        let range = self.span(n)?;
        let is_text = text(self.bytes, &range).is_some();
        self.push(if is_text { Value::Text(range) } else { Value::Bytes(range) })
    }

    /// A little-endian two's complement integer of `n` bytes.
    fn long(&mut self, n: usize) -> Result<(), String> {
        let range = self.span(n)?;
        let bytes = self.bytes.get(range.clone()).unwrap_or_default();
        if bytes.len() > 8 {
            return self.push(Value::Long(range));
        }
        let sign = if bytes.last().is_some_and(|b| *b >= 0x80) { 0xff } else { 0 };
        let mut whole = [sign; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.push(Value::Int(i64::from_le_bytes(whole)))
    }

    fn tuple(&mut self, n: usize) -> Result<(), String> {
        let mark = self.marks.last().copied().unwrap_or(0);
        let begin = self.stack.len().checked_sub(n).filter(|begin| *begin >= mark);
        let parts = self.stack.split_off(begin.ok_or("too few values on the stack")?);
        self.push(Value::Tuple(parts))
    }

    fn append(&mut self, parts: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match self.values.get_mut(top as usize) {
            Some(Value::List(list)) => list.extend(parts),
            other => return Err(format!("appends to {}", other.map_or("nothing", |v| v.kind()))),
        }
        Ok(())
    }

    fn set(&mut self, parts: &[Id]) -> Result<(), String> {
        let top = self.top()?;
        let (pairs, rest) = parts.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        match self.values.get_mut(top as usize) {
            Some(Value::Dict(dict)) => dict.extend(pairs.iter().map(|[k, v]| (*k, *v))),
            other => return Err(format!("sets keys of {}", other.map_or("nothing", |v| v.kind()))),
        }
        Ok(())
    }

    fn global(&mut self, module: &Range<usize>, name: &Range<usize>) -> Result<(), String> {
        let word = |range| text(self.bytes, range).unwrap_or("?");
        let (module, name) = (word(module), word(name));
        let known = Global::named(module, name).ok_or_else(|| {
            format!(
                "it asks for {module}.{name}, which no state dict needs: the file is refused, nothing was run"
            )
        })?;
        self.push(Value::Global(known))
    }

    fn remember(&mut self, at: usize) -> Result<(), String> {
        let top = self.top()?;
        self.room(self.memo.len())?;
        self.memo.insert(u32::try_from(at).map_err(|_| "too many values")?, top);
        Ok(())
    }

    fn recall(&mut self, at: usize) -> Result<(), String> {
        let id = u32::try_from(at).ok().and_then(|at| self.memo.get(&at)).copied();
        self.push_id(id.ok_or_else(|| format!("memo {at} was never set"))?)
    }

    fn top(&self) -> Result<Id, String> {
        let mark = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= mark {
            return Err("nothing is on the stack".to_owned());
        }
        self.stack.last().copied().ok_or_else(|| "nothing is on the stack".to_owned())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("no mark is set")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.room(self.values.len())?;
        let id = Id::try_from(self.values.len()).map_err(|_| "too many values")?;
        self.values.push(value);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), String> {
        self.room(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    fn copy(&mut self, made: &Value) -> Result<(), String> {
        self.copied = self.copied.saturating_add(made.parts());
        self.room(self.copied)
    }

    fn room(&self, taken: usize) -> Result<(), String> {
        if taken < MOST_VALUES { Ok(()) } else { Err(format!("more than {MOST_VALUES} values")) }
    }
}

/// Names of opcodes that are refused and that somebody may ask about.
fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        b'i' => " (INST)",
        b'o' => " (OBJ)",
        0x81 => " (NEWOBJ)",
        0x92 => " (NEWOBJ_EX)",
        b'P' => " (PERSID)",
        0x82..=0x84 => " (EXT)",
        0x96 => " (BYTEARRAY8)",
        0x97 | 0x98 => " (out-of-band buffer)",
        0x8f..=0x91 => " (set)",
        b'F' | b'I' | b'L' | b'S' | b'V' | b'p' | b'g' => " (text form, protocol 0)",
        _ => "",
    }
}

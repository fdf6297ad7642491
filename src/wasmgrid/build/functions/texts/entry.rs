// What wasmgrid adds to a Rust file so that one of its functions can be called: docs/functions.md.
// The compiler finds the types: `Function` is implemented for whatever can be called, `Argument` for what a call can hold.

use ::std::borrow::ToOwned;
use ::std::boxed::Box;
use ::std::option::Option::{self, None, Some};
use ::std::result::Result::{self, Err, Ok};
use ::std::string::String;
use ::std::vec::Vec;

/// Why arguments do not fit, without the signature.
type Misfit = String;

pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += found as usize;
        found
    }

    fn literal(&mut self, text: &str) -> bool {
        self.space();
        let found = self.bytes[self.at..].starts_with(text.as_bytes());
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn ended(&mut self) -> bool {
        self.space();
        self.at == self.bytes.len()
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.at - from
    }

    /// A number as it is written, and whether it is an integer.
    fn number(&mut self) -> Option<(&'a str, bool)> {
        self.space();
        let from = self.at;
        self.at += (self.bytes.get(self.at) == Some(&b'-')) as usize;
        let leading = self.bytes.get(self.at) == Some(&b'0');
        let mut good = match self.digits() {
            0 => false,
            1 => true,
            _ => !leading,
        };
        let mut integer = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            integer = false;
            good &= self.digits() > 0;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            integer = false;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            good &= self.digits() > 0;
        }
        let text = ::std::str::from_utf8(&self.bytes[from..self.at]).ok()?;
        if good {
            Some((text, integer))
        } else {
            None
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let text = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        text.iter().try_fold(0, |value, digit| Some(value * 16 + (*digit as char).to_digit(16)?))
    }

    fn escaped(&mut self) -> Option<char> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) {
                    if self.bytes.get(self.at..self.at + 2) != Some(&b"\\u"[..]) {
                        return None;
                    }
                    self.at += 2;
                    let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    code = 0x10000 + ((code - 0xd800) << 10) + low;
                }
                char::from_u32(code)?
            }
            _ => return None,
        })
    }

    fn string(&mut self) -> Option<String> {
        if !self.eat(b'"') {
            return None;
        }
        let mut made = Vec::new();
        loop {
            let from = self.at;
            while !matches!(*self.bytes.get(self.at)?, b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            made.extend_from_slice(&self.bytes[from..self.at]);
            self.at += 1;
            match self.bytes[self.at - 1] {
                b'"' => return String::from_utf8(made).ok(),
                b'\\' => made.extend_from_slice(self.escaped()?.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => return None,
            }
        }
    }

    /// The value that begins at `from`, well-formed or not.
    fn value(&self, from: usize) -> &'a [u8] {
        let rest = &self.bytes[from.min(self.bytes.len())..];
        let (mut at, mut depth, mut quoted) = (0, 0, false);
        while at < rest.len() {
            match rest[at] {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b'[' if !quoted => depth += 1,
                b',' | b']' if !quoted && depth == 0 => break,
                b']' if !quoted => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        &rest[..at.min(rest.len())]
    }

    /// "a T is wanted, not this".
    fn misfit(wanted: &str, rest: &[u8]) -> Misfit {
        let shown: String = String::from_utf8_lossy(&rest[..rest.len().min(80)]).chars().take(40).collect();
        let more = if rest.len() > shown.len() && shown.chars().count() == 40 { "..." } else { "" };
        if shown.is_empty() {
            return ::std::format!("{} is wanted, and nothing is there", wanted);
        }
        ::std::format!("{} is wanted, not {}{}", wanted, shown, more)
    }
}

/// What can be read from JSON and owned.
pub trait Value: Sized + 'static {
    fn name() -> String;
    fn read(from: &mut Reader) -> Option<Self>;
    /// Out of a word of a command line.
    fn word(text: &str) -> Option<Self> {
        let mut reader = Reader::new(text.as_bytes());
        let value = Self::read(&mut reader)?;
        if reader.ended() {
            Some(value)
        } else {
            None
        }
    }
}

/// What can be written as JSON.
pub trait Answer {
    fn answer_name() -> String;
    fn write(&self, to: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($t:ident)*) => {$(
        impl Value for $t {
            fn name() -> String { ::std::stringify!($t).to_owned() }
            fn read(from: &mut Reader) -> Option<Self> {
                match from.number()? {
                    (text, true) => text.parse().ok().or_else(|| if text == "-0" { Some(0) } else { None }),
                    _ => None,
                }
            }
        }
        impl Answer for $t {
            fn answer_name() -> String { ::std::stringify!($t).to_owned() }
            fn write(&self, to: &mut Vec<u8>) { let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("{}", self)); }
        }
    )*};
}
numbers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

macro_rules! floats {
    ($($t:ident)*) => {$(
        impl Value for $t {
            fn name() -> String { ::std::stringify!($t).to_owned() }
            fn read(from: &mut Reader) -> Option<Self> {
                for (text, value) in [("\"NaN\"", $t::NAN), ("\"Infinity\"", $t::INFINITY), ("\"-Infinity\"", $t::NEG_INFINITY)] {
                    if from.literal(text) {
                        return Some(value);
                    }
                }
                from.number()?.0.parse().ok().filter(|value: &$t| value.is_finite())
            }
            fn word(text: &str) -> Option<Self> {
                match text {
                    "NaN" => Some($t::NAN),
                    "Infinity" => Some($t::INFINITY),
                    "-Infinity" => Some($t::NEG_INFINITY),
                    _ => {
                        let mut reader = Reader::new(text.as_bytes());
                        Self::read(&mut reader).filter(|_| reader.ended())
                    }
                }
            }
        }
        impl Answer for $t {
            fn answer_name() -> String { ::std::stringify!($t).to_owned() }
            fn write(&self, to: &mut Vec<u8>) {
                if self.is_nan() {
                    to.extend_from_slice(b"\"NaN\"");
                } else if self.is_infinite() {
                    to.extend_from_slice(if *self > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
                } else {
                    let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("{:?}", self));
                }
            }
        }
    )*};
}
floats!(f32 f64);

impl Value for bool {
    fn name() -> String {
        "bool".to_owned()
    }
    fn read(from: &mut Reader) -> Option<Self> {
        if from.literal("true") {
            Some(true)
        } else if from.literal("false") {
            Some(false)
        } else {
            None
        }
    }
}

impl Answer for bool {
    fn answer_name() -> String {
        "bool".to_owned()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Value for String {
    fn name() -> String {
        "String".to_owned()
    }
    fn read(from: &mut Reader) -> Option<Self> {
        from.string()
    }
    fn word(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for char {
    fn name() -> String {
        "char".to_owned()
    }
    fn read(from: &mut Reader) -> Option<Self> {
        Self::word(&from.string()?)
    }
    fn word(text: &str) -> Option<Self> {
        let mut all = text.chars();
        let first = all.next()?;
        all.next().is_none().then(|| first)
    }
}

impl Answer for str {
    fn answer_name() -> String {
        "str".to_owned()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.push(b'"');
        let bytes = self.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if !matches!(*byte, b'"' | b'\\' | 0..=0x1f) {
                continue;
            }
            to.extend_from_slice(&bytes[from..at]);
            from = at + 1;
            match *byte {
                b'"' => to.extend_from_slice(b"\\\""),
                b'\\' => to.extend_from_slice(b"\\\\"),
                b'\n' => to.extend_from_slice(b"\\n"),
                other => {
                    let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("\\u{:04x}", other));
                }
            }
        }
        to.extend_from_slice(&bytes[from..]);
        to.push(b'"');
    }
}

impl Answer for String {
    fn answer_name() -> String {
        "String".to_owned()
    }
    fn write(&self, to: &mut Vec<u8>) {
        self.as_str().write(to);
    }
}

impl Answer for char {
    fn answer_name() -> String {
        "char".to_owned()
    }
    fn write(&self, to: &mut Vec<u8>) {
        self.encode_utf8(&mut [0; 4]).write(to);
    }
}

impl Answer for () {
    fn answer_name() -> String {
        "()".to_owned()
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(b"null");
    }
}

impl<T: Answer + ?Sized> Answer for &T {
    fn answer_name() -> String {
        ::std::format!("&{}", T::answer_name())
    }
    fn write(&self, to: &mut Vec<u8>) {
        (**self).write(to);
    }
}

impl<T: Answer + ?Sized> Answer for Box<T> {
    fn answer_name() -> String {
        ::std::format!("Box<{}>", T::answer_name())
    }
    fn write(&self, to: &mut Vec<u8>) {
        (**self).write(to);
    }
}

impl<T: Answer> Answer for [T] {
    fn answer_name() -> String {
        ::std::format!("[{}]", T::answer_name())
    }
    fn write(&self, to: &mut Vec<u8>) {
        to.push(b'[');
        for (place, item) in self.iter().enumerate() {
            if place > 0 {
                to.push(b',');
            }
            item.write(to);
        }
        to.push(b']');
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn answer_name() -> String {
        ::std::format!("Vec<{}>", T::answer_name())
    }
    fn write(&self, to: &mut Vec<u8>) {
        self.as_slice().write(to);
    }
}

impl<T: Answer, const N: usize> Answer for [T; N] {
    fn answer_name() -> String {
        ::std::format!("[{}; {}]", T::answer_name(), N)
    }
    fn write(&self, to: &mut Vec<u8>) {
        self.as_slice().write(to);
    }
}

impl<T: Answer> Answer for Option<T> {
    fn answer_name() -> String {
        ::std::format!("Option<{}>", T::answer_name())
    }
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(to),
            None => ().write(to),
        }
    }
}

impl<T: Value> Value for Vec<T> {
    fn name() -> String {
        ::std::format!("Vec<{}>", T::name())
    }
    fn read(from: &mut Reader) -> Option<Self> {
        let mut made = Vec::new();
        if !from.eat(b'[') {
            return None;
        }
        if from.eat(b']') {
            return Some(made);
        }
        loop {
            made.push(T::read(from)?);
            if from.eat(b']') {
                return Some(made);
            }
            if !from.eat(b',') {
                return None;
            }
        }
    }
}

impl<T: Value, const N: usize> Value for [T; N] {
    fn name() -> String {
        ::std::format!("[{}; {}]", T::name(), N)
    }
    fn read(from: &mut Reader) -> Option<Self> {
        <[T; N] as ::std::convert::TryFrom<Vec<T>>>::try_from(Vec::read(from)?).ok()
    }
}

impl<T: Value> Value for Option<T> {
    fn name() -> String {
        ::std::format!("Option<{}>", T::name())
    }
    fn read(from: &mut Reader) -> Option<Self> {
        if from.literal("null") {
            Some(None)
        } else {
            T::read(from).map(Some)
        }
    }
    fn word(text: &str) -> Option<Self> {
        if text == "null" {
            Some(None)
        } else {
            T::word(text).map(Some)
        }
    }
}

macro_rules! tuples {
    ($($first:ident $($t:ident)*;)*) => {$(
        impl<$first: Value, $($t: Value),*> Value for ($first, $($t,)*) {
            fn name() -> String { ::std::format!("({})", [$first::name(), $($t::name()),*].join(", ")) }
            fn read(from: &mut Reader) -> Option<Self> {
                if !from.eat(b'[') {
                    return None;
                }
                let made = ($first::read(from)?, $({
                    if !from.eat(b',') {
                        return None;
                    }
                    $t::read(from)?
                },)*);
                if from.eat(b']') { Some(made) } else { None }
            }
        }
        impl<$first: Answer, $($t: Answer),*> Answer for ($first, $($t,)*) {
            fn answer_name() -> String { ::std::format!("({})", [$first::answer_name(), $($t::answer_name()),*].join(", ")) }
            #[allow(non_snake_case)]
            fn write(&self, to: &mut Vec<u8>) {
                let ($first, $($t,)*) = self;
                to.push(b'[');
                $first.write(to);
                $(to.push(b','); $t.write(to);)*
                to.push(b']');
            }
        }
    )*};
}
tuples!(A; A B; A B C; A B C D; A B C D E; A B C D E F;);

/// A parameter: itself, or a borrow of what a call keeps until its answer is written.
pub trait Argument: Sized {
    type Kept: Value;
    fn shown() -> String;
    fn lend(kept: &'static mut Option<Self::Kept>) -> Option<Self>;
}

impl<T: Value> Argument for T {
    type Kept = T;
    fn shown() -> String {
        T::name()
    }
    fn lend(kept: &'static mut Option<T>) -> Option<T> {
        kept.take()
    }
}

impl Argument for &'static str {
    type Kept = String;
    fn shown() -> String {
        "&str".to_owned()
    }
    fn lend(kept: &'static mut Option<String>) -> Option<Self> {
        kept.as_deref()
    }
}

impl Argument for Option<&'static str> {
    type Kept = Option<String>;
    fn shown() -> String {
        "Option<&str>".to_owned()
    }
    fn lend(kept: &'static mut Option<Option<String>>) -> Option<Self> {
        kept.as_ref().map(|text| text.as_deref())
    }
}

impl<T: Value> Argument for &'static [T] {
    type Kept = Vec<T>;
    fn shown() -> String {
        ::std::format!("&[{}]", T::name())
    }
    fn lend(kept: &'static mut Option<Vec<T>>) -> Option<Self> {
        kept.as_deref()
    }
}

macro_rules! borrowed {
    ($([$($generic:tt)*] $t:ty;)*) => {$(
        impl<$($generic)*> Argument for &'static $t {
            type Kept = $t;
            fn shown() -> String { ::std::format!("&{}", <$t as Value>::name()) }
            fn lend(kept: &'static mut Option<$t>) -> Option<Self> { kept.as_ref() }
        }
    )*};
}
borrowed! {
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] f32; [] f64; [] bool; [] char; [] String; [T: Value] Vec<T>; [T: Value, const N: usize] [T; N]; [T: Value] Option<T>;
}

/// Strings, and their borrows once these are asked for.
pub struct Words {
    owned: Vec<String>,
    lent: Vec<&'static str>,
}

impl Value for Words {
    fn name() -> String {
        "Vec<String>".to_owned()
    }
    fn read(from: &mut Reader) -> Option<Self> {
        Some(Words { owned: Vec::read(from)?, lent: Vec::new() })
    }
}

impl Argument for &'static [&'static str] {
    type Kept = Words;
    fn shown() -> String {
        "&[&str]".to_owned()
    }
    fn lend(kept: &'static mut Option<Words>) -> Option<Self> {
        let Words { owned, lent } = kept.as_mut()?;
        *lent = owned.iter().map(|text| text.as_str()).collect();
        Some(lent.as_slice())
    }
}

impl Argument for Vec<&'static str> {
    type Kept = Vec<String>;
    fn shown() -> String {
        "Vec<&str>".to_owned()
    }
    fn lend(kept: &'static mut Option<Vec<String>>) -> Option<Self> {
        Some(kept.as_ref()?.iter().map(|text| text.as_str()).collect())
    }
}

/// What a function gives: a value, or a value or an error.
pub trait Outcome {
    fn gives() -> String;
    fn give(self, to: &mut Vec<u8>);
}

impl<T: Answer> Outcome for T {
    fn gives() -> String {
        T::answer_name()
    }
    fn give(self, to: &mut Vec<u8>) {
        to.push(b'=');
        self.write(to);
    }
}

impl<T: Answer, E: ::std::fmt::Display> Outcome for Result<T, E> {
    fn gives() -> String {
        ::std::format!("Result<{}, _>", T::answer_name())
    }
    fn give(self, to: &mut Vec<u8>) {
        match self {
            Ok(value) => value.give(to),
            Err(error) => {
                let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("!{}", error));
            }
        }
    }
}

/// Where arguments come from: a JSON array, or the words of a command line.
enum Source<'a> {
    Array { reader: Reader<'a>, begun: bool },
    Argv(::std::vec::IntoIter<String>),
}

impl<'a> Source<'a> {
    fn new(input: &'a [u8]) -> Result<Self, Misfit> {
        let mut reader = Reader::new(input);
        if reader.eat(b'[') {
            return Ok(Source::Array { reader, begun: false });
        }
        if !(reader.eat(b'{') && reader.literal("\"argv\"") && reader.eat(b':')) {
            return Err("a call is a JSON array of arguments".to_owned());
        }
        match Vec::<String>::read(&mut reader) {
            Some(words) if reader.eat(b'}') && reader.ended() => Ok(Source::Argv(words.into_iter())),
            _ => Err("a call's argv is a JSON array of strings".to_owned()),
        }
    }

    fn take<T: Argument>(&mut self, place: usize, count: usize, names: &[&str]) -> Result<T::Kept, Misfit> {
        let fewer = || ::std::format!("arguments: {} wanted, {} given", count, place);
        let told = |misfit: Misfit| match names.get(place) {
            Some(name) => ::std::format!("argument {} ({}): {}", place + 1, name, misfit),
            None => ::std::format!("argument {}: {}", place + 1, misfit),
        };
        match self {
            Source::Argv(words) => {
                let word = words.next().ok_or_else(fewer)?;
                T::Kept::word(&word).ok_or_else(|| told(Reader::misfit(&T::shown(), word.as_bytes())))
            }
            Source::Array { reader, begun } => {
                if *begun && !reader.eat(b',') {
                    return Err(if reader.eat(b']') { fewer() } else { told(Reader::misfit("a comma", &reader.bytes[reader.at..])) });
                }
                if !*begun && reader.eat(b']') {
                    return Err(fewer());
                }
                *begun = true;
                reader.space();
                let from = reader.at;
                T::Kept::read(reader).ok_or_else(|| told(Reader::misfit(&T::shown(), reader.value(from))))
            }
        }
    }

    fn end(mut self, count: usize) -> Result<(), Misfit> {
        let good = match &mut self {
            Source::Argv(words) => words.next().is_none(),
            Source::Array { reader, .. } => reader.eat(b']') && reader.ended(),
        };
        if good {
            Ok(())
        } else {
            Err(::std::format!("arguments: {} wanted, more given", count))
        }
    }
}

/// All parameters of a function.
pub trait Arguments: Sized {
    type Kept: 'static;
    fn shown() -> Vec<String>;
    fn read(input: &[u8], names: &[&str]) -> Result<Self::Kept, Misfit>;
    fn lend(kept: &'static mut Self::Kept) -> Option<Self>;
}

/// Whatever can be called with arguments `A`.
pub trait Function<A> {
    type Output;
    fn invoke(&self, arguments: A) -> Self::Output;
}

macro_rules! arities {
    ($($count:literal: $($t:ident)*;)*) => {$(
        impl<F, R, $($t),*> Function<($($t,)*)> for F
        where
            F: Fn($($t),*) -> R,
        {
            type Output = R;
            #[allow(non_snake_case)]
            fn invoke(&self, ($($t,)*): ($($t,)*)) -> R {
                self($($t),*)
            }
        }
        impl<$($t: Argument),*> Arguments for ($($t,)*) {
            type Kept = ($(Option<$t::Kept>,)*);
            fn shown() -> Vec<String> { ::std::vec![$($t::shown()),*] }
            fn read(input: &[u8], names: &[&str]) -> Result<Self::Kept, Misfit> {
                let mut source = Source::new(input)?;
                let mut place = 0;
                let kept = ($({
                    place += 1;
                    Some(source.take::<$t>(place - 1, $count, names)?)
                },)*);
                source.end($count)?;
                Ok(kept)
            }
            #[allow(non_snake_case)]
            fn lend(kept: &'static mut Self::Kept) -> Option<Self> {
                let ($($t,)*) = kept;
                Some(($($t::lend($t)?,)*))
            }
        }
    )*};
}
arities! {
    0: ; 1: A; 2: A B; 3: A B C; 4: A B C D; 5: A B C D E; 6: A B C D E G; 7: A B C D E G H; 8: A B C D E G H I;
    9: A B C D E G H I J; 10: A B C D E G H I J K; 11: A B C D E G H I J K L; 12: A B C D E G H I J K L M;
}

fn sign<A: Arguments, F: Function<A>>(_: &F) -> String
where
    F::Output: Outcome,
{
    let mut shown = A::shown();
    if PARAMETERS.len() == shown.len() {
        for (name, each) in PARAMETERS.iter().zip(shown.iter_mut()) {
            *each = ::std::format!("{}: {}", name, each);
        }
    }
    let gives = F::Output::gives();
    let arrow = if gives == "()" { "" } else { " -> " };
    ::std::format!("{}({}){}{}", NAME, shown.join(", "), arrow, if arrow.is_empty() { "" } else { &gives })
}

fn perform<A: Arguments, F: Function<A>>(function: &F, input: &[u8], to: &mut Vec<u8>)
where
    F::Output: Outcome,
{
    to.clear();
    let mut kept = match A::read(input, PARAMETERS) {
        Ok(kept) => kept,
        Err(misfit) => {
            let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("?{}; it is {}", misfit, sign(function)));
            return;
        }
    };
    // The borrow ends with this function: the answer is written, and `kept` outlives the call.
    let lent: &'static mut A::Kept = unsafe { &mut *(&mut kept as *mut A::Kept) };
    if let Some(arguments) = A::lend(lent) {
        function.invoke(arguments).give(to);
    }
}

/// The state between calls of this one thread. Memory that a huge call needed is given back by the next one.
struct Held {
    begun: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    panic: String,
}

const KEPT_BYTES: usize = 1 << 20;
static mut HELD: Held = Held { begun: false, input: Vec::new(), output: Vec::new(), panic: String::new() };

fn held() -> &'static mut Held {
    unsafe { &mut *::std::ptr::addr_of_mut!(HELD) }
}

extern "C" {
    fn __wasm_call_ctors();
}

fn begin() {
    if held().begun {
        return;
    }
    held().begun = true;
    unsafe { __wasm_call_ctors() };
    if ::std::cfg!(panic = "unwind") {
        ::std::panic::set_hook(Box::new(|info| held().panic = ::std::string::ToString::to_string(info)));
    }
}

fn answer(input: &[u8], to: &mut Vec<u8>) {
    let done = ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(|| run(input, to)));
    if done.is_err() {
        to.clear();
        let _ = ::std::io::Write::write_fmt(to, ::std::format_args!("!{}", held().panic));
    }
    let _ = ::std::io::Write::flush(&mut ::std::io::stdout());
}

fn packed(bytes: &[u8]) -> u64 {
    ((bytes.as_ptr() as usize as u64) << 32) | bytes.len() as u64
}

#[no_mangle]
pub extern "C" fn wasmgrid_alloc(size: usize) -> *mut u8 {
    begin();
    let input = &mut held().input;
    input.clear();
    if input.capacity() > KEPT_BYTES && size <= KEPT_BYTES {
        *input = Vec::new();
    }
    match input.try_reserve(size) {
        Ok(()) => input.as_mut_ptr(),
        Err(_) => ::std::ptr::null_mut(),
    }
}

#[no_mangle]
pub unsafe extern "C" fn wasmgrid_call(call: *const u8, size: usize) -> u64 {
    begin();
    let output = &mut held().output;
    if output.capacity() > KEPT_BYTES {
        *output = Vec::new();
    }
    answer(unsafe { ::std::slice::from_raw_parts(call, size) }, output);
    packed(output)
}

#[no_mangle]
pub extern "C" fn wasmgrid_signature() -> u64 {
    begin();
    held().output = signature().into_bytes();
    packed(&held().output)
}

/// As a program: the words of its command line are the arguments, and the value is printed.
#[no_mangle]
pub extern "C" fn _start() {
    begin();
    let words: Vec<String> = ::std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let mut call = b"{\"argv\":".to_vec();
    words.write(&mut call);
    call.push(b'}');
    let mut made = Vec::new();
    answer(&call, &mut made);
    let said = String::from_utf8_lossy(&made[1..]).into_owned();
    match made[0] {
        b'=' if said == "null" => {}
        b'=' => ::std::println!("{}", said),
        _ => ::std::eprintln!("{}", said),
    }
    ::std::process::exit(match made[0] {
        b'=' => 0,
        b'!' => 1,
        _ => 2,
    });
}

// What wasmgrid adds to a Go package so that one of its functions can be called: docs/functions.md.
// reflect finds out what its arguments are; a decoder per parameter is made once.

//go:build go1.24

package main

import (
	"bytes"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const wasmgridKeptBytes = 1 << 20

// ---- reading

type wasmgridReader struct {
	bytes []byte
	at    int
}

func (r *wasmgridReader) peek() byte {
	if r.at < len(r.bytes) {
		return r.bytes[r.at]
	}
	return 0
}

func (r *wasmgridReader) space() {
	for r.at < len(r.bytes) && (r.bytes[r.at] == ' ' || r.bytes[r.at] == '\n' || r.bytes[r.at] == '\r' || r.bytes[r.at] == '\t') {
		r.at++
	}
}

func (r *wasmgridReader) ended() bool {
	r.space()
	return r.at == len(r.bytes)
}

func (r *wasmgridReader) eat(char byte) bool {
	r.space()
	if r.at < len(r.bytes) && r.bytes[r.at] == char {
		r.at++
		return true
	}
	return false
}

func (r *wasmgridReader) literal(text string) bool {
	r.space()
	if len(r.bytes)-r.at < len(text) || string(r.bytes[r.at:r.at+len(text)]) != text {
		return false
	}
	r.at += len(text)
	return true
}

func (r *wasmgridReader) digits() int {
	from := r.at
	for r.peek() >= '0' && r.peek() <= '9' {
		r.at++
	}
	return r.at - from
}

// A number as it is written, whether it is an integer, and whether it is a number at all.
func (r *wasmgridReader) number() (text []byte, integer bool, good bool) {
	r.space()
	from := r.at
	integer = true
	if r.peek() == '-' {
		r.at++
	}
	leading := r.peek() == '0'
	whole := r.digits()
	good = whole == 1 || (whole > 1 && !leading)
	if r.peek() == '.' {
		r.at++
		integer = false
		good = r.digits() > 0 && good
	}
	if r.peek() == 'e' || r.peek() == 'E' {
		r.at++
		integer = false
		if r.peek() == '+' || r.peek() == '-' {
			r.at++
		}
		good = r.digits() > 0 && good
	}
	return r.bytes[from:r.at], integer, good
}

func (r *wasmgridReader) integer() (negative bool, magnitude uint64, good bool) {
	text, integer, good := r.number()
	if !good || !integer {
		return false, 0, false
	}
	if text[0] == '-' {
		negative = true
		text = text[1:]
	}
	for _, char := range text {
		digit := uint64(char - '0')
		if magnitude > (math.MaxUint64-digit)/10 {
			return false, 0, false
		}
		magnitude = magnitude*10 + digit
	}
	return negative, magnitude, true
}

func (r *wasmgridReader) hex() (rune, bool) {
	if len(r.bytes)-r.at < 4 {
		return 0, false
	}
	code, err := strconv.ParseUint(string(r.bytes[r.at:r.at+4]), 16, 32)
	r.at += 4
	return rune(code), err == nil
}

func (r *wasmgridReader) escaped() (rune, bool) {
	char := r.peek()
	r.at++
	switch char {
	case '"', '\\', '/':
		return rune(char), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		code, good := r.hex()
		if !good || !utf16.IsSurrogate(code) {
			return code, good
		}
		if r.peek() != '\\' {
			return 0, false
		}
		r.at++
		if r.peek() != 'u' {
			return 0, false
		}
		r.at++
		low, good := r.hex()
		whole := utf16.DecodeRune(code, low)
		return whole, good && whole != utf8.RuneError
	}
	return 0, false
}

func (r *wasmgridReader) text() (string, bool) {
	if !r.eat('"') {
		return "", false
	}
	var made []byte
	from := r.at
	for r.at < len(r.bytes) {
		char := r.bytes[r.at]
		r.at++
		switch {
		case char == '"':
			made = append(made, r.bytes[from:r.at-1]...)
			return string(made), utf8.Valid(made)
		case char == '\\':
			made = append(made, r.bytes[from:r.at-1]...)
			code, good := r.escaped()
			if !good {
				return "", false
			}
			made = utf8.AppendRune(made, code)
			from = r.at
		case char < 0x20:
			return "", false
		}
	}
	return "", false
}

type wasmgridRead func(*wasmgridReader, reflect.Value) bool

// How a type is read; nil for one that no call can hold.
func wasmgridReaderOf(t reflect.Type) wasmgridRead {
	switch t.Kind() {
	case reflect.Bool:
		return func(r *wasmgridReader, to reflect.Value) bool {
			truth := r.literal("true")
			to.SetBool(truth)
			return truth || r.literal("false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		most := uint64(1)<<(t.Bits()-1) - 1
		return func(r *wasmgridReader, to reflect.Value) bool {
			negative, magnitude, good := r.integer()
			if negative {
				to.SetInt(-int64(magnitude))
				return good && magnitude <= most+1
			}
			to.SetInt(int64(magnitude))
			return good && magnitude <= most
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		most := uint64(math.MaxUint64) >> (64 - t.Bits())
		return func(r *wasmgridReader, to reflect.Value) bool {
			negative, magnitude, good := r.integer()
			to.SetUint(magnitude)
			return good && magnitude <= most && !(negative && magnitude != 0)
		}
	case reflect.Float32, reflect.Float64:
		return func(r *wasmgridReader, to reflect.Value) bool { return wasmgridReadFloat(r, to, t.Bits()) }
	case reflect.String:
		return func(r *wasmgridReader, to reflect.Value) bool {
			text, good := r.text()
			to.SetString(text)
			return good
		}
	case reflect.Slice:
		item := wasmgridReaderOf(t.Elem())
		if item == nil {
			return nil
		}
		return func(r *wasmgridReader, to reflect.Value) bool { return wasmgridReadSlice(r, to, t, item) }
	case reflect.Array:
		item := wasmgridReaderOf(t.Elem())
		if item == nil {
			return nil
		}
		return func(r *wasmgridReader, to reflect.Value) bool {
			good := r.eat('[')
			for place := 0; good && place < t.Len(); place++ {
				good = (place == 0 || r.eat(',')) && item(r, to.Index(place))
			}
			return good && r.eat(']')
		}
	}
	return nil
}

var wasmgridSpecials = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}

func wasmgridReadFloat(r *wasmgridReader, to reflect.Value, bits int) bool {
	r.space()
	if r.peek() == '"' {
		text, _ := r.text()
		value, good := wasmgridSpecials[text]
		to.SetFloat(value)
		return good
	}
	text, _, good := r.number()
	if !good {
		return false
	}
	value, err := strconv.ParseFloat(string(text), bits)
	to.SetFloat(value)
	return err == nil
}

func wasmgridReadSlice(r *wasmgridReader, to reflect.Value, t reflect.Type, item wasmgridRead) bool {
	made := reflect.New(t).Elem()
	made.Set(reflect.MakeSlice(t, 0, 0))
	if !r.eat('[') {
		return false
	}
	for size := 0; !r.eat(']'); size++ {
		if size > 0 && !r.eat(',') {
			return false
		}
		if size == made.Cap() {
			made.Grow(size/2 + 4)
		}
		made.SetLen(size + 1)
		if !item(r, made.Index(size)) {
			return false
		}
	}
	to.Set(made)
	return true
}

// A word of a command line: a string as it is, anything else as JSON.
func wasmgridReadWord(t reflect.Type, read wasmgridRead, word string, to reflect.Value) bool {
	if t.Kind() == reflect.String {
		to.SetString(word)
		return true
	}
	if value, special := wasmgridSpecials[word]; special && (t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64) {
		to.SetFloat(value)
		return true
	}
	r := wasmgridReader{bytes: []byte(word)}
	return read(&r, to) && r.ended()
}

// ---- writing

func wasmgridWrite(to []byte, value reflect.Value) []byte {
	switch value.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(to, value.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(to, value.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(to, value.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return wasmgridWriteFloat(to, value.Float(), value.Type().Bits())
	case reflect.String:
		return wasmgridWriteText(to, value.String())
	}
	to = append(to, '[')
	for place := 0; place < value.Len(); place++ {
		if place > 0 {
			to = append(to, ',')
		}
		to = wasmgridWrite(to, value.Index(place))
	}
	return append(to, ']')
}

func wasmgridWriteFloat(to []byte, value float64, bits int) []byte {
	switch {
	case math.IsNaN(value):
		return append(to, `"NaN"`...)
	case math.IsInf(value, 1):
		return append(to, `"Infinity"`...)
	case math.IsInf(value, -1):
		return append(to, `"-Infinity"`...)
	}
	from := len(to)
	format, size := byte('f'), math.Abs(value)
	if size != 0 && (size < 1e-5 || size >= 1e15) {
		format = 'e'
	}
	to = strconv.AppendFloat(to, value, format, -1, bits)
	if !bytes.ContainsAny(to[from:], ".e") {
		to = append(to, ".0"...)
	}
	return to
}

func wasmgridWriteText(to []byte, text string) []byte {
	to = append(to, '"')
	for _, char := range text { // what is no UTF-8 comes as U+FFFD
		switch {
		case char == '"' || char == '\\':
			to = append(to, '\\', byte(char))
		case char == '\n':
			to = append(to, `\n`...)
		case char < 0x20:
			to = append(to, `\u00`...)
			to = append(to, "0123456789abcdef"[char>>4], "0123456789abcdef"[char&15])
		default:
			to = utf8.AppendRune(to, char)
		}
	}
	return append(to, '"')
}

// ---- the function

// What a call can hold, for the compiler; how deep lists may be is told by this, too.
type wasmgridParameter interface {
	~bool | ~string | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64 |
		~[]bool | ~[]string | ~[]int | ~[]int8 | ~[]int16 | ~[]int32 | ~[]int64 | ~[]uint | ~[]uint8 | ~[]uint16 | ~[]uint32 | ~[]uint64 | ~[]uintptr | ~[]float32 | ~[]float64 |
		~[][]bool | ~[][]string | ~[][]int | ~[][]int8 | ~[][]int16 | ~[][]int32 | ~[][]int64 | ~[][]uint | ~[][]uint8 | ~[][]uint16 | ~[][]uint32 | ~[][]uint64 | ~[][]uintptr | ~[][]float32 | ~[][]float64 |
		~[][][]bool | ~[][][]string | ~[][][]int | ~[][][]int8 | ~[][][]int16 | ~[][][]int32 | ~[][][]int64 | ~[][][]uint | ~[][][]uint8 | ~[][][]uint16 | ~[][][]uint32 | ~[][][]uint64 | ~[][][]uintptr | ~[][][]float32 | ~[][][]float64
}

type wasmgridResult interface{ wasmgridParameter }

type wasmgridFunction struct {
	value   reflect.Value
	reads   []wasmgridRead
	kept    []reflect.Value
	given   []reflect.Value
	spread  bool
	fails   bool
	results int
	sign    string
}

var (
	wasmgridError  = reflect.TypeFor[error]()
	wasmgridTarget = wasmgridPrepare()
	wasmgridInput  []byte
	wasmgridOutput []byte
)

func wasmgridPrepare() *wasmgridFunction {
	made := &wasmgridFunction{value: reflect.ValueOf(wasmgridOffered)}
	t := made.value.Type()
	made.spread = t.IsVariadic()
	var shown []string
	for place := range t.NumIn() {
		made.reads = append(made.reads, wasmgridReaderOf(t.In(place)))
		made.kept = append(made.kept, reflect.New(t.In(place)).Elem())
		name := wasmgridShort(t.In(place))
		if len(wasmgridNames) == t.NumIn() {
			name = wasmgridNames[place] + ": " + name
		}
		shown = append(shown, name)
	}
	made.given = make([]reflect.Value, t.NumIn())
	var results []string
	for place := range t.NumOut() {
		if place == t.NumOut()-1 && t.Out(place) == wasmgridError {
			made.fails = true
		} else {
			made.results++
		}
		results = append(results, wasmgridShort(t.Out(place)))
	}
	result := strings.Join(results, ", ")
	if len(results) > 1 {
		result = "(" + result + ")"
	}
	made.sign = wasmgridName + "(" + strings.Join(shown, ", ") + ")"
	if result != "" {
		made.sign += " -> " + result
	}
	return made
}

func wasmgridShort(t reflect.Type) string {
	return strings.ReplaceAll(t.String(), "main.", "")
}

func (f *wasmgridFunction) misfit(to []byte, text string) []byte {
	return append(append(append(append(to, '?'), text...), "; it is "...), f.sign...)
}

// The value that a text begins with, well-formed or not.
func wasmgridValue(text []byte) []byte {
	depth, quoted := 0, false
	for at := 0; at < len(text); at++ {
		switch char := text[at]; {
		case quoted && char == '\\':
			at++
		case char == '"':
			quoted = !quoted
		case quoted:
		case char == '[':
			depth++
		case (char == ',' || char == ']') && depth == 0:
			return text[:at]
		case char == ']':
			depth--
		}
	}
	return text
}

func (f *wasmgridFunction) noArgument(to []byte, place int, given []byte) []byte {
	text := "argument " + strconv.Itoa(place+1)
	if len(wasmgridNames) == len(f.kept) {
		text += " (" + wasmgridNames[place] + ")"
	}
	text += ": " + wasmgridShort(f.kept[place].Type()) + " is wanted, "
	shown := min(len(given), 40)
	for shown > 0 && !utf8.Valid(given[:shown]) {
		shown--
	}
	switch {
	case len(given) == 0:
		text += "and nothing is there"
	case shown < len(given):
		text += "not " + string(given[:shown]) + "..."
	default:
		text += "not " + string(given)
	}
	return f.misfit(to, text)
}

func (f *wasmgridFunction) count(given string) string {
	return "arguments: " + strconv.Itoa(len(f.kept)) + " wanted, " + given + " given"
}

func (f *wasmgridFunction) perform(call []byte, to []byte) (made []byte) {
	r := wasmgridReader{bytes: call}
	argv := !r.eat('[')
	if argv && !(r.eat('{') && r.literal(`"argv"`) && r.eat(':') && r.eat('[')) {
		return f.misfit(to, "a call is a JSON array of arguments")
	}
	for place := range f.kept {
		more := false
		if place > 0 {
			more = r.eat(',')
		} else {
			more = !r.ended() && r.peek() != ']'
		}
		if !more {
			return f.misfit(to, f.count(strconv.Itoa(place)))
		}
		r.space()
		from := r.at
		value := f.kept[place]
		value.SetZero()
		if argv {
			word, good := r.text()
			if !good {
				return f.misfit(to, "a call's argv is a JSON array of strings")
			}
			if !wasmgridReadWord(value.Type(), f.reads[place], word, value) {
				return f.noArgument(to, place, []byte(word))
			}
		} else if !f.reads[place](&r, value) {
			return f.noArgument(to, place, wasmgridValue(call[from:]))
		}
		f.given[place] = value
	}
	if !(r.eat(']') && (!argv || r.eat('}')) && r.ended()) {
		return f.misfit(to, f.count("more"))
	}
	var results []reflect.Value
	if f.spread {
		results = f.value.CallSlice(f.given)
	} else {
		results = f.value.Call(f.given)
	}
	if f.fails && !results[f.results].IsNil() {
		return append(append(to, '!'), results[f.results].Interface().(error).Error()...)
	}
	return f.write(append(to, '='), results[:f.results])
}

func (f *wasmgridFunction) write(to []byte, results []reflect.Value) []byte {
	if len(results) == 0 {
		return append(to, "null"...)
	}
	if len(results) == 1 {
		return wasmgridWrite(to, results[0])
	}
	to = append(to, '[')
	for place, result := range results {
		if place > 0 {
			to = append(to, ',')
		}
		to = wasmgridWrite(to, result)
	}
	return append(to, ']')
}

// ---- what a host calls

func wasmgridPack(bytes []byte) int64 {
	return int64(uint64(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))<<32 | uint64(len(bytes)))
}

//go:wasmexport wasmgrid_alloc
func wasmgridAlloc(size int32) unsafe.Pointer {
	wanted := max(int(uint32(size)), 1024)
	if wanted > cap(wasmgridInput) || (cap(wasmgridInput) > wasmgridKeptBytes && wanted < wasmgridKeptBytes) {
		wasmgridInput = make([]byte, wanted)
	}
	return unsafe.Pointer(unsafe.SliceData(wasmgridInput))
}

//go:wasmexport wasmgrid_call
func wasmgridCall(at unsafe.Pointer, size int32) int64 {
	if cap(wasmgridOutput) > wasmgridKeptBytes {
		wasmgridOutput = nil
	}
	wasmgridOutput = wasmgridAnswer(unsafe.Slice((*byte)(at), uint32(size)))
	return wasmgridPack(wasmgridOutput)
}

// A panic is the function's failure; what it says goes to the host.
func wasmgridAnswer(call []byte) (made []byte) {
	defer func() {
		if failure := recover(); failure != nil {
			made = append(append(wasmgridOutput[:0], "!panic: "...), wasmgridShown(failure)...)
		}
	}()
	return wasmgridTarget.perform(call, wasmgridOutput[:0])
}

func wasmgridShown(failure any) string {
	switch of := failure.(type) {
	case error:
		return of.Error()
	case string:
		return of
	case interface{ String() string }:
		return of.String()
	}
	return wasmgridPlain(reflect.ValueOf(failure))
}

func wasmgridPlain(value reflect.Value) string {
	if wasmgridReaderOf(value.Type()) == nil {
		return "a " + value.Type().String()
	}
	return string(wasmgridWrite(nil, value))
}

//go:wasmexport wasmgrid_signature
func wasmgridSignature() int64 {
	return wasmgridPack([]byte(wasmgridTarget.sign))
}

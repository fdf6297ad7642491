;; WebAssembly as text: one import, one line of memory, one call.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\17\00\00\00")  ;; where the text is, and its length
  (data (i32.const 16) "hello from WebAssembly\0a")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))

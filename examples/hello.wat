;; WebAssembly by hand: one call of WASI's fd_write with one buffer.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\10\00\00\00") ;; the buffer: at 16, 16 bytes long
  (data (i32.const 16) "hello from WAT!\n")
  (func (export "_start")
    (drop (call $fd_write
      (i32.const 1)     ;; stdout
      (i32.const 0)     ;; where the list of buffers is
      (i32.const 1)     ;; how many there are
      (i32.const 8))))) ;; where the count of written bytes goes

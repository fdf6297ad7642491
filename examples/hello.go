// Adds up squares in goroutines: one thread runs them all.
package main

import "fmt"

func main() {
	squares := make(chan int)
	for n := 1; n <= 10; n++ {
		go func() { squares <- n * n }()
	}
	sum := 0
	for n := 1; n <= 10; n++ {
		sum += <-squares
	}
	fmt.Printf("hello from Go, the sum of ten squares is %d!\n", sum)
}

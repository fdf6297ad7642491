// The large one: a Go program of 2.4 MB that says hello to its argument, which is the task's number.
package main

import (
	"fmt"
	"os"
)

func main() {
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	fmt.Println("hello", name)
}

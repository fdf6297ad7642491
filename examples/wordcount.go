// Counts the words of its files. An --input appears in /in, read-only; a guest sees no other file of this machine.
//
//	wasmgrid run examples/wordcount.go --input examples/wordcount/poem.txt -- -top 4 /in/poem.txt
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"unicode"
)

type entry struct {
	word  string
	count int
}

func main() {
	log.SetFlags(0)
	top := flag.Int("top", 10, "how many words to print")
	flag.Parse()
	counts := map[string]int{}
	for _, name := range flag.Args() {
		if err := count(name, counts); err != nil {
			log.Fatal(err) // exits 1, with the reason on stderr
		}
	}
	entries := make([]entry, 0, len(counts))
	for word, n := range counts {
		entries = append(entries, entry{word, n})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.count, a.count), strings.Compare(a.word, b.word))
	})
	for _, e := range entries[:min(*top, len(entries))] {
		fmt.Printf("%-6s %2d %s\n", e.word, e.count, strings.Repeat("#", e.count))
	}
}

func count(name string, counts map[string]int) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		for _, word := range strings.FieldsFunc(lines.Text(), func(r rune) bool { return !unicode.IsLetter(r) }) {
			counts[strings.ToLower(word)]++
		}
	}
	return lines.Err()
}

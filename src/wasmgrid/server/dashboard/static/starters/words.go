// The most frequent words of standard input. Give it some below, or let it count its own.
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

const own = `the quick brown fox jumps over the lazy dog and the dog sleeps on while the fox runs`

func main() {
	text, _ := io.ReadAll(os.Stdin)
	if len(text) == 0 {
		text = []byte(own)
	}
	counts := map[string]int{}
	for _, word := range strings.Fields(strings.ToLower(string(text))) {
		counts[strings.Trim(word, ".,;:!?\"'()")]++
	}
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	sort.Slice(words, func(i, j int) bool {
		a, b := words[i], words[j]
		return counts[a] > counts[b] || counts[a] == counts[b] && a < b
	})
	for _, word := range words[:min(10, len(words))] {
		fmt.Printf("%4d  %-12s %s\n", counts[word], word, strings.Repeat("█", counts[word]))
	}
}

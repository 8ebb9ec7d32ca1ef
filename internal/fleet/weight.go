// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"math"
	"strconv"
	"strings"
)

// Weight is what an instance counts against the quota, in thousandths. It is an
// integer so that N jobs of one flavor fill a quota of N such jobs exactly, which
// sums of floating point numbers would not.
type Weight int64

// Unit is the weight 1.
const Unit Weight = 1000

// WeightOf computes a flavor's weight from its memory: (GiB)^1.25, rounded to a
// thousandth (seed 000, "Flavors and their weights").
func WeightOf(memMiB int) Weight {
	if memMiB <= 0 {
		return 0
	}
	return Weight(math.Round(math.Pow(float64(memMiB)/1024, 1.25) * float64(Unit)))
}

// String prints the weight with at most three decimals: 13454 is "13.454".
func (w Weight) String() string {
	s := strconv.FormatFloat(float64(w)/float64(Unit), 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Flavor is a size of instance as a provisioner offers it.
type Flavor struct {
	Name    string // what users write, such as "M"
	APIName string // what the platform calls it, such as "heptapod-runner-M"
	MemMiB  int
	CPUs    int
	Weight  Weight
	// PricePerHour is in euros, 0 when unknown; BillingStep is the granularity in seconds.
	PricePerHour float64
	BillingStep  int
}

// Size tells the flavor's size to the user of a job, such as "4 CPUs, 8 GiB, weight 13.454".
// What has no limit, as on a Docker Engine, is left out.
func (f Flavor) Size() string {
	var parts []string
	switch {
	case f.CPUs == 1:
		parts = append(parts, "1 CPU")
	case f.CPUs > 1:
		parts = append(parts, strconv.Itoa(f.CPUs)+" CPUs")
	}
	switch {
	case f.MemMiB > 0 && f.MemMiB%1024 != 0:
		parts = append(parts, strconv.Itoa(f.MemMiB)+" MiB")
	case f.MemMiB > 0:
		parts = append(parts, strconv.Itoa(f.MemMiB/1024)+" GiB")
	}
	return strings.Join(append(parts, "weight "+f.Weight.String()), ", ")
}

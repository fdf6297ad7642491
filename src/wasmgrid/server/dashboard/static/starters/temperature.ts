// Types are taken off before it runs.
type Reading = { city: string; celsius: number };

const readings: Reading[] = [
  { city: "Reykjavik", celsius: 4.5 },
  { city: "Nairobi", celsius: 19.1 },
  { city: "Lima", celsius: 18.7 },
];

const fahrenheit = (celsius: number): number => (celsius * 9) / 5 + 32;

for (const { city, celsius } of readings) {
  console.log(`${city.padEnd(10)} ${celsius.toFixed(1)} °C  ${fahrenheit(celsius).toFixed(1)} °F`);
}

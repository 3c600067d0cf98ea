"""What a kilowatt-hour costs a battery: wear, health, warranty."""

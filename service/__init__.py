"""settled: reads the truth from payment providers and tells the ERP."""
